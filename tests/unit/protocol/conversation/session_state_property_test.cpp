// Random conversations with a model of PostgreSQL, randomly interleaved: whatever has been sent but
// not read, read but not answered, answered but not received, the session state may only claim a
// boundary when the model owes nothing. A client that plays by the rules gets its boundary back
// whenever everything is answered; one that does not must only never get a false one.

#include "protocol/conversation/session_state.hpp"
#include "tests/unit/protocol/guard/model_server.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgsluice::protocol {
namespace {

using generator = std::mt19937;

/// The proxy between a client and the model server, and what was seen so far.
class conversation_under_test {
public:
    explicit conversation_under_test(std::uint32_t seed) : random(seed), server_(seed + 1) {
        trace_ = "seed " + std::to_string(seed) + ":";
    }

    generator random;

    std::uint32_t below(std::uint32_t limit) {
        return static_cast<std::uint32_t>(random() % limit);
    }

    /// The client sends; the other parties may move before.
    void send(model_request request) {
        interleave();
        trace_ += " >" + std::string(1, request.type) + request.plan;
        state_.on_frontend(static_cast<std::uint8_t>(request.type));
        server_.input.push_back(std::move(request));
        check();
    }

    /// Server and client move a random number of times.
    void interleave() {
        for (auto moves = below(4) == 0 ? below(20) : below(2); moves != 0; --moves) {
            if (below(2) == 0) {
                server_.step();
            } else {
                deliver();
            }
            check();
        }
    }

    /// Everybody moves until nothing is in flight.
    void settle() {
        while ((!server_.dead() && !server_.input.empty()) || !server_.output.empty()) {
            server_.step();
            deliver();
            check();
        }
    }

    /// Moves until the client has seen one of these types since `forget_answers()`; false if there
    /// is nothing left that could bring one.
    bool await(std::string_view types) {
        while (seen_.find_first_of(types) == std::string::npos) {
            if (server_.input.empty() && server_.output.empty())
                return false;
            server_.step();
            deliver();
            check();
        }
        return true;
    }

    bool saw(char type) const { return seen_.find(type) != std::string::npos; }
    void forget_answers() { seen_.clear(); }

    const session_state& state() const { return state_; }
    const model_server& server() const { return server_; }
    const std::string& trace() const { return trace_; }
    bool wrong() const { return wrong_; }

private:
    void deliver() {
        if (server_.output.empty())
            return;
        const model_answer answer = server_.output.front();
        server_.output.pop_front();
        trace_ += " <" + std::string(1, answer.type);
        if (answer.type == 'Z')
            trace_ += answer.status;
        seen_ += answer.type;
        state_.on_backend(static_cast<std::uint8_t>(answer.type), answer.status);
    }

    void check() {
        if (state_.at_boundary() && !server_.quiet())
            wrong_ = true;
        if (wrong_ && !reported_) {
            reported_ = true;
            ADD_FAILURE() << "boundary claimed, but the server is busy: " << trace_;
        }
    }

    session_state state_;
    model_server server_;
    std::string trace_;
    std::string seen_;
    bool wrong_ = false;
    bool reported_ = false;
};

char one_of(conversation_under_test& talk, std::string_view letters) {
    return letters[talk.below(static_cast<std::uint32_t>(letters.size()))];
}

/// A Query's statements without COPY FROM STDIN.
std::string statements(conversation_under_test& talk) {
    std::string plan;
    for (auto count = 1 + talk.below(3); count != 0; --count)
        plan += one_of(talk, "sssobcx0");
    return plan;
}

/// A few extended messages, each of which may fail.
void extended_messages(conversation_under_test& talk) {
    for (auto count = talk.below(6); count != 0; --count) {
        const char type = one_of(talk, "PBDECH");
        std::string plan;
        if (type == 'E') {
            plan = one_of(talk, "sssobcx0");
        } else if (type != 'H' && talk.below(12) == 0) {
            plan = "x";
        }
        talk.send({type, plan});
    }
}

void copy_data(conversation_under_test& talk) {
    for (auto count = talk.below(4); count != 0; --count)
        talk.send({talk.below(5) == 0 ? 'H' : 'd'});
    talk.send({talk.below(4) == 0 ? 'f' : 'c'});
}

/// COPY FROM STDIN by a Query whose client waits for each CopyInResponse.
void awaited_simple_copy(conversation_under_test& talk) {
    talk.settle();
    talk.forget_answers();
    std::string plan;
    for (auto count = 1 + talk.below(3); count != 0; --count)
        plan += one_of(talk, "ivresx");
    talk.send({'Q', plan});
    while (talk.await("GZ") && !talk.saw('Z')) {
        talk.forget_answers();
        copy_data(talk);
    }
}

void eager_simple_copy(conversation_under_test& talk) {
    talk.send({'Q', std::string(talk.below(2), 's') + one_of(talk, "ivrex") + "s"});
    copy_data(talk);
}

/// COPY FROM STDIN in the extended protocol; true when a Sync that it should swallow was sent.
bool extended_copy(conversation_under_test& talk) {
    const bool eager = talk.below(2) == 0;
    const bool early_sync = talk.below(2) == 0;
    if (!eager)
        talk.settle();
    talk.forget_answers();
    extended_messages(talk);
    talk.send({'E', std::string(1, one_of(talk, "iivre"))});
    talk.send({early_sync ? 'S' : 'H'});
    if (eager || (talk.await("GE") && talk.saw('G'))) {
        copy_data(talk);
        talk.send({'S'});
    } else if (!early_sync) {
        talk.send({'S'});
    }
    return early_sync;
}

/// One exchange by the rules; true when it may leave doubt (a swallowed Sync).
bool exchange(conversation_under_test& talk) {
    switch (talk.below(8)) {
    case 0:
    case 1:
        talk.send({'Q', statements(talk)});
        return false;
    case 2:
        talk.send({'F', talk.below(4) == 0 ? "x" : ""});
        return false;
    case 3:
        awaited_simple_copy(talk);
        return false;
    case 4:
        eager_simple_copy(talk);
        return false;
    case 5:
        return extended_copy(talk);
    default:
        extended_messages(talk);
        talk.send({'S', talk.below(10) == 0 ? "x" : ""});
        return false;
    }
}

TEST(SessionStateProperty, RuleAbidingClientsGetTheirBoundaryBack) {
    std::size_t boundaries = 0;
    std::size_t settled_doubts = 0;
    for (std::uint32_t seed = 1; seed <= 5000; ++seed) {
        conversation_under_test talk(seed);
        for (int round = 0; round < 4; ++round) {
            bool doubt = false;
            for (auto count = 1 + talk.below(5); count != 0; --count)
                doubt = exchange(talk) || doubt;
            talk.settle();
            ASSERT_TRUE(doubt || !talk.state().uncertain()) << talk.trace();
            if (talk.state().uncertain()) {
                talk.send({talk.below(2) == 0 ? 'P' : 'Q', "s"});
                talk.send({'S'});
                talk.settle();
                ++settled_doubts;
            }
            ASSERT_FALSE(talk.server().dead()) << talk.trace();
            ASSERT_EQ(talk.state().at_boundary(), talk.server().quiet()) << talk.trace();
            ASSERT_FALSE(talk.wrong());
            boundaries += talk.state().at_boundary() ? 1 : 0;
        }
    }
    EXPECT_GT(boundaries, 8000U);
    EXPECT_GT(settled_doubts, 50U);
}

TEST(SessionStateProperty, UnrulyClientsNeverGetAFalseBoundary) {
    std::size_t boundaries = 0;
    for (std::uint32_t seed = 1; seed <= 20000; ++seed) {
        conversation_under_test talk(seed);
        const std::string_view habits[] = {"QPBDECSSHFdcf", "QESSSdcf", "EESSScccf", "QQESc"};
        const auto habit = habits[talk.below(4)];
        for (int step = 0; step < 40 && !talk.server().dead() && !talk.wrong(); ++step) {
            const char type = one_of(talk, habit);
            std::string plan;
            if (type == 'Q')
                plan = std::string(1, one_of(talk, "sscx0ivre")) + one_of(talk, "scxivre");
            if (type == 'E')
                plan = one_of(talk, "ssscxivvre");
            if (std::string_view("PBCDF").find(type) != std::string_view::npos)
                plan = talk.below(5) == 0 ? "x" : "";
            talk.send({type, plan});
            boundaries += talk.state().at_boundary() ? 1 : 0;
        }
        talk.settle();
        ASSERT_FALSE(talk.wrong());
    }
    EXPECT_GT(boundaries, 5000U);
}

}  // namespace
}  // namespace pgsluice::protocol
