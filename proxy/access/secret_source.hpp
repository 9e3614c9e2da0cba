#pragma once

#include "protocol/auth/userlist.hpp"
#include "protocol/errors.hpp"

#include <functional>
#include <memory>
#include <string>

namespace pgsluice::proxy {

/// Where the secrets come from of users who are in no list. Any thread may call.
class secret_source {
public:
    /// A list of the one user, or an empty one if there is none with a secret; or why nobody knows.
    using answer = result<std::shared_ptr<const protocol::user_list>>;

    /// Calls `done` once, on any thread, possibly before it returns, and within some seconds; not
    /// at all when the source is being stopped.
    virtual void ask(const std::string& user, std::function<void(answer)> done) = 0;

    /// What is remembered of the user has turned out to be wrong, or to be too little: the next
    /// ask() looks again.
    virtual void forget(const std::string& user) = 0;

    virtual ~secret_source() = default;
};

}  // namespace pgsluice::proxy
