// Reading of userlist.txt, and the secrets that are made up for users that nobody knows, so that a
// login does not tell whether a user exists.

#include "protocol/auth/userlist.hpp"

#include "protocol/auth/md5_password.hpp"

#include <algorithm>

namespace pgsluice::protocol {

namespace {

constexpr std::size_t salt_bytes = 16;  // as many as the server's own
constexpr std::size_t name_bytes_max = 1023;
constexpr std::size_t secret_bytes_max = 2047;

/// One line of the file, read from the front.
class line_reader {
public:
    line_reader(std::string_view line, std::size_t number) : line_(line), number_(number) {}

    void skip_blanks() {
        while (at_ < line_.size() && (line_[at_] == ' ' || line_[at_] == '\t'))
            ++at_;
    }
    bool at_end() const { return at_ == line_.size(); }
    bool at_comment() const { return !at_end() && line_[at_] == ';'; }
    std::size_t column() const { return at_ + 1; }

    failure problem(std::size_t column, std::string_view what) const {
        return {
            "F0000",  // config_file_error
            std::to_string(number_) + ":" + std::to_string(column) + ": " + std::string(what),
            {},
            {}};
    }

    /// A text in quotes.
    result<secret> quoted(std::string_view what, std::size_t bytes_max) {
        const std::size_t start = column();
        if (at_end() || line_[at_] != '"')
            return problem(start, "expected " + std::string(what) + " in double quotes");
        secret text;
        for (++at_; at_ < line_.size(); ++at_) {
            if (line_[at_] == '\0')
                return problem(column(), "a zero byte, expected text");
            if (line_[at_] == '"' && line_.substr(at_, 2) != "\"\"") {
                ++at_;
                if (text.view().size() > bytes_max)
                    return problem(start, std::string(what) + " is too long");
                return {boost::system::in_place_value, std::move(text)};
            }
            at_ += line_[at_] == '"' ? 1 : 0;
            text.push_back(line_[at_]);
        }
        return problem(start, "the quote that opens " + std::string(what) + " is not closed");
    }

private:
    std::string_view line_;
    std::size_t number_;
    std::size_t at_ = 0;
};

result<void> read_line(line_reader line, user_list& users) {
    line.skip_blanks();
    if (line.at_end() || line.at_comment())
        return {};
    const std::size_t name_column = line.column();
    const auto name = line.quoted("a user's name", name_bytes_max);
    if (!name)
        return name.error();
    if (name->empty())
        return line.problem(name_column, "the user's name is empty");
    line.skip_blanks();
    const std::size_t secret_column = line.column();
    auto text = line.quoted("the password or its hash", secret_bytes_max);
    if (!text)
        return text.error();
    auto what = secret_of(text->view());
    if (!what)
        return line.problem(
            secret_column, "expected SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY in base64"
        );
    if (!users.add(std::string(name->view()), std::move(*what)))
        return line.problem(
            name_column, "user \"" + std::string(name->view()) + "\" is listed twice"
        );
    return {};
}

}  // namespace

std::optional<user_secret> secret_of(std::string_view text) {
    user_secret what;
    what.text = secret(text);
    what.verifier = parse_scram_verifier(text);
    what.kind = what.verifier       ? secret_kind::scram
                : is_md5_hash(text) ? secret_kind::md5
                : text.empty()      ? secret_kind::none
                                    : secret_kind::plain;
    if (!what.verifier && text.starts_with("SCRAM-SHA-256$"))
        return std::nullopt;
    return what;
}

const user_secret* user_list::find(std::string_view user) const {
    const auto found = users_.find(user);
    return found == users_.end() ? nullptr : &found->second;
}

bool user_list::add(std::string user, user_secret what) {
    if (!iterations_ && what.verifier)
        iterations_ = what.verifier->salt.iterations;
    return users_.try_emplace(std::move(user), std::move(what)).second;
}

void user_list::derive_verifiers() {
    for (auto& [user, what] : users_) {
        if (what.kind == secret_kind::plain && !what.verifier) {
            auto keys = derive_scram_keys(what.text.view(), salt_for(user));
            PGSLUICE_ASSERT(keys);
            what.verifier = verifier_of(*keys);
        }
    }
}

scram_salt user_list::salt_for(std::string_view user) const {
    const secret_key code = hmac_sha256(salt_key_.view(), user);
    const auto bytes = code.view().first(salt_bytes);
    return {
        {bytes.begin(), bytes.end()},
        std::min(iterations_.value_or(scram_iterations_default), scram_iterations_max)};
}

scram_verifier user_list::mock_verifier(std::string_view user) const {
    scram_verifier mock;
    mock.salt = salt_for(user);
    mock.stored_key = hmac_sha256(salt_key_.view(), std::string(user) + '\0' + "stored");
    mock.server_key = hmac_sha256(salt_key_.view(), std::string(user) + '\0' + "server");
    return mock;
}

result<void> parse_userlist(std::string_view text, user_list& users) {
    for (std::size_t number = 1; !text.empty(); ++number) {
        const auto end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        if (auto read = read_line({line, number}, users); !read)
            return read.error();
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return {};
}

}  // namespace pgsluice::protocol
