// Ranges that split the load: addresses in order, cuts between them, and the prefixes below a cut.
#include "control/stages/proposal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <map>
#include <string>

namespace pgsluice::control {
namespace {

using bytes = std::array<std::uint8_t, 16>;

constexpr std::size_t address_bits = 128;
constexpr std::size_t mapped_bits = 96;  // that every IPv4 address begins with
/// How far from the best place a cut may be for the sake of a shorter prefix: of one part.
constexpr double tolerance = 0.1;

bool bit(const bytes& address, std::size_t at) {
    return (address[at / 8] >> (7 - at % 8) & 1) != 0;
}

/// The first `length` bits; the rest is 0.
bytes prefix(bytes address, std::size_t length) {
    for (std::size_t i = length; i < address_bits; ++i) {
        address[i / 8] &= static_cast<std::uint8_t>(~(1U << (7 - i % 8)));
    }
    return address;
}

std::size_t common_bits(const bytes& a, const bytes& b) {
    std::size_t n = 0;
    while (n < address_bits && bit(a, n) == bit(b, n)) {
        ++n;
    }
    return n;
}

bool is_ipv4(const bytes& address) {
    return proxy::client_address{.bytes = address, .is_local = false}.is_ipv4();
}

std::string token(const bytes& network, std::size_t length) {
    char text[INET6_ADDRSTRLEN];
    if (length >= mapped_bits && is_ipv4(network)) {
        ::inet_ntop(AF_INET, network.data() + 12, text, sizeof text);
        return fmt::format("{}/{}", text, length - mapped_bits);
    }
    ::inet_ntop(AF_INET6, network.data(), text, sizeof text);
    return fmt::format("{}/{}", text, length);
}

/// The addresses of one kind, in order.
struct family {
    std::vector<address_load> loads;

    /// The shortest prefix that holds them all; of one address, itself.
    std::size_t cover() const {
        return common_bits(loads.front().from.bytes, loads.back().from.bytes);
    }
    /// The ranges of the cover that are below `cut`.
    void add_below(const bytes& cut, std::vector<std::string>& tokens) const {
        for (std::size_t i = cover(); i < address_bits; ++i) {
            if (bit(cut, i)) {
                tokens.push_back(token(prefix(cut, i), i + 1));
            }
        }
    }
    void add_all(std::vector<std::string>& tokens) const {
        tokens.push_back(token(prefix(loads.front().from.bytes, cover()), cover()));
    }
};

/// One place between two addresses.
struct cut {
    std::size_t behind = 0;    ///< so many addresses come before it
    std::uint64_t before = 0;  ///< the weight of these
    std::size_t length = 0;    ///< of the prefix where the later one begins; short is simple
};

class splitter {
public:
    explicit splitter(std::vector<address_load> loads);
    std::vector<load_part> split(std::size_t parts) const;

private:
    std::vector<cut> choose(std::size_t parts) const;
    load_part part(std::size_t from, std::size_t to, bool is_last) const;
    std::vector<std::string> tokens_before(std::size_t behind) const;
    std::uint64_t weight(std::size_t from, std::size_t to) const;

    std::uint64_t local_ = 0;
    bool has_local_ = false;
    std::uint64_t total_ = 0;
    std::vector<address_load> all_;  ///< without local ones, each address once, in order
};

splitter::splitter(std::vector<address_load> loads) {
    std::map<bytes, std::uint64_t> sums;
    for (const address_load& each : loads) {
        total_ += each.weight;
        if (each.from.is_local) {
            local_ += each.weight;
            has_local_ = true;
        } else {
            sums[each.from.bytes] += each.weight;
        }
    }
    for (const auto& [address, sum] : sums) {
        all_.push_back({{.bytes = address, .is_local = false}, sum});
    }
    // IPv4 first: it is what most have, and mapped it sorts in the middle of nothing else.
    std::stable_partition(all_.begin(), all_.end(), [](const address_load& each) {
        return each.from.is_ipv4();
    });
}

std::uint64_t splitter::weight(std::size_t from, std::size_t to) const {
    std::uint64_t sum = from == 0 ? local_ : 0;
    for (std::size_t i = from; i < to; ++i) {
        sum += all_[i].weight;
    }
    return sum;
}

std::vector<cut> splitter::choose(std::size_t parts) const {
    std::vector<cut> possible;
    std::uint64_t before = local_;
    for (std::size_t i = 1; i < all_.size(); ++i) {
        before += all_[i - 1].weight;
        const bool is_kind_change = all_[i].from.is_ipv4() != all_[i - 1].from.is_ipv4();
        const std::size_t length =
            is_kind_change ? 0 : common_bits(all_[i - 1].from.bytes, all_[i].from.bytes) + 1;
        possible.push_back({i, before, length});
    }
    const double part = static_cast<double>(total_) / static_cast<double>(parts);
    std::vector<cut> chosen;
    for (std::size_t n = 1; n < parts; ++n) {
        const auto off = [&](const cut& c) {
            return std::abs(static_cast<double>(c.before) - part * static_cast<double>(n));
        };
        const std::size_t after = chosen.empty() ? 0 : chosen.back().behind;
        const cut* best = nullptr;
        for (const cut& each : possible) {
            if (each.behind > after && (best == nullptr || off(each) < off(*best))) {
                best = &each;
            }
        }
        if (best == nullptr) {
            break;
        }
        const double enough = off(*best) + tolerance * part;
        for (const cut& each : possible) {
            if (each.behind > after && off(each) <= enough && each.length < best->length) {
                best = &each;
            }
        }
        chosen.push_back(*best);
    }
    return chosen;
}

/// Whoever comes before the address at `behind`; with those on unix sockets.
std::vector<std::string> splitter::tokens_before(std::size_t behind) const {
    std::vector<std::string> tokens;
    if (has_local_) {
        tokens.emplace_back("local");
    }
    const auto is_v4 = [](const address_load& each) {
        return each.from.is_ipv4();
    };
    const auto border = std::partition_point(all_.begin(), all_.end(), is_v4);
    const auto v4 = static_cast<std::size_t>(border - all_.begin());
    const family kinds[] = {{{all_.begin(), border}}, {{border, all_.end()}}};
    for (const std::size_t kind : {0U, 1U}) {
        const std::size_t first = kind == 0 ? 0 : v4;
        const std::size_t last = kind == 0 ? v4 : all_.size();
        if (behind >= last && last > first) {
            kinds[kind].add_all(tokens);
        } else if (behind > first) {
            const bytes& earlier = all_[behind - 1].from.bytes;
            const bytes& later = all_[behind].from.bytes;
            kinds[kind].add_below(prefix(later, common_bits(earlier, later) + 1), tokens);
        }
    }
    return tokens;
}

load_part splitter::part(std::size_t from, std::size_t to, bool is_last) const {
    const auto share = static_cast<double>(weight(from, to)) / static_cast<double>(total_);
    return {
        .tokens = is_last ? std::vector<std::string>{"all"} : tokens_before(to),
        .percent = 100 * share,
        .addresses = to - from};
}

std::vector<load_part> splitter::split(std::size_t parts) const {
    std::vector<load_part> found;
    if (total_ == 0) {
        return found;
    }
    std::size_t from = 0;
    for (const cut& each : choose(parts)) {
        found.push_back(part(from, each.behind, false));
        from = each.behind;
    }
    found.push_back(part(from, all_.size(), true));
    return found;
}

}  // namespace

std::vector<load_part> split_load(std::vector<address_load> loads, std::size_t parts) {
    return splitter(std::move(loads)).split(parts);
}

std::optional<proxy::client_address> client_of(std::string_view address) {
    proxy::client_address client;
    const std::size_t colon = address.rfind(':');
    if (colon == std::string_view::npos || address.starts_with('/')) {
        client.is_local = true;
        return client;
    }
    std::string host(address.substr(0, colon));
    if (host.starts_with('[')) {
        host = host.substr(1, host.find_first_of("%]") - 1);
        const bool is_valid = ::inet_pton(AF_INET6, host.c_str(), client.bytes.data()) == 1;
        return is_valid ? std::optional(client) : std::nullopt;
    }
    client.bytes[10] = client.bytes[11] = 0xFF;
    const bool is_valid = ::inet_pton(AF_INET, host.c_str(), client.bytes.data() + 12) == 1;
    return is_valid ? std::optional(client) : std::nullopt;
}

std::vector<address_load>
loads_of(std::span<const proxy::session_info> sessions, std::string_view by) {
    std::vector<address_load> loads;
    for (const proxy::session_info& session : sessions) {
        const auto from = client_of(session.address);
        if (!from || session.phase == proxy::session_phase::startup) {
            continue;
        }
        const proxy::traffic& counted = session.counted;
        const std::uint64_t weight = by == "transactions" ? counted.transactions
                                     : by == "bytes" ? counted.received_bytes + counted.sent_bytes
                                                     : 1;
        loads.push_back({*from, weight});
    }
    return loads;
}

std::string stages_file(const std::vector<load_part>& parts, std::string_view by) {
    std::size_t addresses = 0;
    for (const load_part& part : parts) {
        addresses += part.addresses;
    }
    std::string text = fmt::format(
        "# Proposed from {} client addresses, by {}; for `sluicectl admit --stages`.\n"
        "dwell: 10m\n"
        "stages:\n",
        addresses,
        by
    );
    for (const load_part& part : parts) {
        std::string list;
        for (const std::string& each : part.tokens) {
            list += (list.empty() ? "\"" : ", \"") + each + "\"";
        }
        text += fmt::format(
            "  # {:.1f}% of the {} more, from {} addresses\n  - admit: [{}]\n",
            part.percent,
            by,
            part.addresses,
            list
        );
    }
    return text;
}

}  // namespace pgsluice::control
