// Any text may be scanned; every name found is one that could be asked for.

#include "protocol/sql/sql_scan.hpp"
#include "tests/fuzz/input.hpp"

namespace {

bool plain(const std::string& name) {
    return name.find('.') != std::string::npos && std::ranges::all_of(name, [](char c) {
               return c >= ' ' && c <= '~' && !(c >= 'A' && c <= 'Z');
           });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace pgsluice;
    const fuzz::exact_block text(protocol::byte_view(data, size));
    protocol::sql_scan_result found;
    protocol::scan_sql(protocol::as_text(text.view()), found);
    for (const std::string& name : found.names)
        PGSLUICE_ASSERT(plain(name));
    const std::string name = protocol::custom_name(protocol::as_text(text.view()));
    PGSLUICE_ASSERT(name.empty() || plain(name));
    return 0;
}
