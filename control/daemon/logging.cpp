// spdlog set up for people or for machines.
#include "control/daemon/logging.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace pgsluice::control {
namespace {

constexpr const char* time_pattern = "%Y-%m-%dT%H:%M:%S.%e%z";

/// `%*`: the message as a JSON string with its quotes.
class json_text final : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out)
        override {
        const boost::json::value text(
            std::string_view(message.payload.data(), message.payload.size())
        );
        const std::string quoted = boost::json::serialize(text);
        out.append(quoted.data(), quoted.data() + quoted.size());
    }
    std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<json_text>();
    }
};

spdlog::level::level_enum level_of(log_level level) {
    switch (level) {
    case log_level::debug:
        return spdlog::level::debug;
    case log_level::info:
        return spdlog::level::info;
    case log_level::warn:
        return spdlog::level::warn;
    case log_level::error:
        return spdlog::level::err;
    }
    return spdlog::level::info;
}

}  // namespace

void set_up_logging(const log_config& settings) {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<json_text>('*');
    formatter->set_pattern(
        settings.format == log_format::json
            ? std::string(R"({"time":")") + time_pattern + R"(","level":"%l","event":%*})"
            : std::string(time_pattern) + " %l %v"
    );
    static const auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    static const auto logger = [] {
        auto made = std::make_shared<spdlog::logger>("pgsluice", sink);
        spdlog::set_default_logger(made);
        return made;
    }();
    logger->set_formatter(std::move(formatter));
    logger->set_level(level_of(settings.level));
    logger->flush_on(spdlog::level::debug);
}

}  // namespace pgsluice::control
