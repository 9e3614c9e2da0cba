#pragma once

#include "control/cutover/runner.hpp"
#include "tests/unit/control/cutover/simulated_world.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgsluice::control::simulation {

/// One seed: a service's life through a few cutovers, aborts, deaths and restarts. `run()` gives
/// what went against the contract's promises, which is nothing.
class life {
public:
    explicit life(std::uint64_t seed, flaw planted = flaw::none);

    std::vector<std::string> run();
    /// What happened, call by call, with the virtual milliseconds.
    const std::vector<std::string>& trace() const { return real_.trace; }
    int commits() const { return commits_; }
    int aborts() const { return aborts_; }
    int deaths() const { return deaths_; }

private:
    void live();
    void prepare_servers();
    cutover_request draw_request();
    void operate();
    void restart();
    void start();
    void recover(const unfinished_cutover& found);
    void remember(const cutover_request& asked, const cutover_report& report);

    void hear(std::string_view text);

    void check_report(const cutover_request& asked, const cutover_report& report);
    void check_back(const cutover_request& asked, const cutover_report& report);
    void check_forward(const cutover_request& asked, const cutover_report& report);
    void check_times(const cutover_request& asked, const cutover_report& report);
    void check_service();
    void check_rows();
    void good_times();
    std::size_t index_of(const std::string& backend) const { return backend == "blue" ? 0 : 1; }

    reality real_;
    disk disk_{};
    misfortune bad_{};
    std::unique_ptr<world> proxy_;
    fence_memories fences_{};
    std::optional<fence_memory> fence_left_{};
    std::optional<std::string> plain_;  ///< the route's own setting, which a fence replaces
    cutover_request asked_{};
    time_point began_{};
    bool is_new_fenced_ = false;  ///< before the cutover under way
    bool leaves_way_back_ = false;
    bool is_lift_told_ = false;  ///< the new server is left writable, and somebody was told
    int number_ = 0;
    int commits_ = 0;
    int aborts_ = 0;
    int deaths_ = 0;
};

}  // namespace pgsluice::control::simulation
