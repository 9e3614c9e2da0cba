// sluicectl's half of the control protocol.
#include "control/socket/client.hpp"

#include "control/socket/unix_socket.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace pgsluice::control {
namespace {

namespace json = boost::json;

outcome lost(const std::string& why) {
    return outcome::of(
        exit_code::needs_operator,
        "the daemon went away before it answered (" + why +
            "); ask \"sluicectl status\" once it is back"
    );
}

/// The final line as an outcome.
outcome final_outcome(json::object& line) {
    const json::value* exit = line.if_contains("exit");
    outcome ended;
    if (exit == nullptr || !exit->is_int64()) {
        return lost("no exit code in its answer");
    }
    ended.exit = static_cast<exit_code>(exit->get_int64());
    if (json::value* result = line.if_contains("result");
        result != nullptr && result->is_object()) {
        ended.result = std::move(result->get_object());
    }
    if (json::value* error = line.if_contains("error"); error != nullptr && error->is_string()) {
        ended.error = std::string(error->get_string());
    }
    return ended;
}

}  // namespace

outcome
run_command(const std::string& socket, const request& given, const progress_sink& progress) {
    auto channel = connect_control(socket);
    if (!channel) {
        return outcome::of(exit_code::no_daemon, channel.error().message);
    }
    // A daemon that refuses may have answered and hung up before it read anything.
    (void)channel->write_line(format_request(given));
    while (true) {
        const auto line = channel->read_line(
            line_channel::line_bytes_max, line_channel::clock::time_point::max()
        );
        if (!line || !*line) {
            return lost(line ? "connection closed" : line.error().message);
        }
        boost::system::error_code error;
        json::value parsed = json::parse(**line, error);
        if (error || !parsed.is_object()) {
            return lost("its answer is not JSON");
        }
        json::object& fields = parsed.get_object();
        const json::value* step = fields.if_contains("progress");
        if (step == nullptr) {
            return final_outcome(fields);
        }
        if (step->is_object()) {
            progress(step->get_object());
        }
    }
}

}  // namespace pgsluice::control
