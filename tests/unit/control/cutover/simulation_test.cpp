// The control logic of a cutover (runner, steps, mode machine, journal, replay, recovery) in a
// simulated world: no sockets, no threads, no real time, one seed for everything. Each seed is a
// few cutovers with faults at any call: failures, lost answers, hangs, servers that are down,
// aborts, SIGTERM, a full disk, and deaths at every call, within every record and at any instant,
// also of the recoveries. PGSLUICE_SIMULATION_RUNS and PGSLUICE_SIMULATION_SEED ask for more and
// for others.
#include "tests/unit/control/cutover/simulated_life.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace pgsluice::control::simulation {
namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
    const char* text = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe)
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string told(const life& of, std::size_t lines) {
    const auto& trace = of.trace();
    std::string text;
    for (std::size_t i = trace.size() - std::min(lines, trace.size()); i < trace.size(); ++i) {
        text += "\n  " + trace[i];
    }
    return text;
}

TEST(CutoverSimulation, KeepsThePromisesWithEverySeed) {
    const std::uint64_t first = number_from("PGSLUICE_SIMULATION_SEED", 1);
    const bool is_sanitized = std::getenv("PGSLUICE_SANITIZED") != nullptr;  // NOLINT
    const std::uint64_t runs =
        number_from("PGSLUICE_SIMULATION_RUNS", is_sanitized ? 1'000 : 10'000);
    std::uint64_t commits = 0;
    std::uint64_t aborts = 0;
    std::uint64_t deaths = 0;
    int failed = 0;
    for (std::uint64_t seed = first; seed < first + runs && failed < 3; ++seed) {
        life one(seed);
        const auto problems = one.run();
        commits += static_cast<std::uint64_t>(one.commits());
        aborts += static_cast<std::uint64_t>(one.aborts());
        deaths += static_cast<std::uint64_t>(one.deaths());
        if (!problems.empty()) {
            ++failed;
            ADD_FAILURE() << "seed " << seed << ": " << problems.front() << told(one, 150);
        }
    }
    std::printf(
        "%llu seeds: %llu commits, %llu ways back, %llu deaths\n",
        static_cast<unsigned long long>(runs),
        static_cast<unsigned long long>(commits),
        static_cast<unsigned long long>(aborts),
        static_cast<unsigned long long>(deaths)
    );
    if (runs >= 1'000) {
        EXPECT_GT(commits, runs / 4);
        EXPECT_GT(aborts, runs / 4);
        EXPECT_GT(deaths, runs / 4);
    }
}

std::vector<std::string> trace_of(std::uint64_t seed) {
    life one(seed);
    one.run();
    return one.trace();
}

TEST(CutoverSimulation, OfOneSeedIsAlwaysTheSame) {
    for (std::uint64_t seed = 1; seed < 50; ++seed) {
        EXPECT_EQ(trace_of(seed), trace_of(seed)) << seed;
    }
}

class SimulatedFlaw : public testing::TestWithParam<flaw> {};

TEST_P(SimulatedFlaw, IsFound) {
    for (std::uint64_t seed = 1; seed < 2'000; ++seed) {
        life one(seed, GetParam());
        if (!one.run().empty()) {
            return;
        }
    }
    FAIL() << "the simulation sees nothing";
}

INSTANTIATE_TEST_SUITE_P(
    Each,
    SimulatedFlaw,
    testing::Values(
        flaw::fence_leaks,
        flaw::sequences_behind,
        flaw::applies_too_early,
        flaw::forgets_records,
        flaw::unfence_lies
    )
);

}  // namespace
}  // namespace pgsluice::control::simulation
