// A throwaway home for the journal and the control socket.
#include "control/daemon/private_directory.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

namespace pgsluice::control {

result<std::string> make_private_directory() {
    std::string path = "/tmp";
    for (const char* variable : {"XDG_RUNTIME_DIR", "TMPDIR"}) {
        const char* parent = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): at start only
        if (parent != nullptr && ::access(parent, W_OK | X_OK) == 0) {
            path = parent;
            break;
        }
    }
    path += "/pgsluice-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) {
        return failure{
            "58030",
            "cannot create a private directory " + path + ": " + std::strerror(errno),
            {},
            "give --state-dir and --socket"};
    }
    // failure is an aggregate of strings, so a bare string would be ambiguous.
    return {boost::system::in_place_value, path};
}

}  // namespace pgsluice::control
