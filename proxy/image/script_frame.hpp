#pragma once

#include "proxy/image/script.hpp"

#include <string>
#include <string_view>

namespace pgsluice::proxy {

/// Where a framed script runs.
struct frame_options {
    std::string_view database_encoding;  ///< texts of the script are in it
    int server_version_num = 0;
};

/// A script inside a transaction of its own, undisturbed by the client's settings: client_encoding
/// is the database's, timeouts are off, nothing below ERROR is sent, isolation is READ COMMITTED.
/// All of that is local to the transaction and leaves no trace. Uses private named statements only,
/// so the unnamed statement is the client's all the time.
class script_frame {
public:
    explicit script_frame(const frame_options& options);

    /// SET or SET LOCAL by set_config(): the value is a parameter, nothing to quote.
    void set(script_item item, std::string_view name, std::string_view value);
    void set_local(std::string_view name, std::string_view value);

    /// Parse under a private name, Bind, Execute. `step.item` and `step.label` name what it is for.
    void
    run(const script_step& step,
        std::string_view text,
        std::span<const std::string_view> parameters = {});

    /// For messages of other kinds.
    script_builder& messages() noexcept { return out_; }

    /// COMMIT, the private statements closed, Sync. Only messages() may follow.
    void commit();

    /// commit() and the script.
    script finish();

private:
    bool is_held(std::string_view name) const noexcept;
    void prepare(std::string_view name, std::string_view text);

    script_builder out_;
    int server_version_num_;
};

/// A step of this kind; the label is for people.
script_step step_for(script_item item, std::string label);

}  // namespace pgsluice::proxy
