#pragma once

#include <deque>
#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace pgsluice::protocol {

/// A message to the model server and what is to become of it. One letter a statement for Query, at
/// most one for the other types:
///   s select   b begin   c commit or rollback   x fails   0 nothing (an empty query)
///   o COPY TO STDOUT, and COPY FROM STDIN that
///   i succeeds   v fails before it reads   r fails at the first CopyData   e fails at CopyDone
struct model_request {
    char type;
    std::string plan = {};
};

struct model_answer {
    char type;
    char status = 'I';
};

/// PostgreSQL as far as the flow of messages goes, written from tcop/postgres.c and
/// commands/copyfromparse.c: reads one message at a time, answers, discards up to Sync after an
/// error in the extended protocol, ignores Sync and Flush while a COPY reads, and dies of anything
/// else a COPY should not see. Input and output are queues that the test empties as it likes.
class model_server {
public:
    explicit model_server(std::uint32_t seed) : random_(seed) {}

    std::deque<model_request> input;
    std::deque<model_answer> output;

    bool dead() const noexcept { return dead_; }

    /// Nothing is owed, nothing is under way and no transaction is open, whatever is still in
    /// flight in either direction.
    bool quiet() const {
        if (dead_ || copy_ || discarding_ || unsynced_ || status_ != 'I')
            return false;
        for (const auto& request : input) {
            if (std::string_view("dcfH").find(request.type) == std::string_view::npos)
                return false;
        }
        for (const auto& answer : output) {
            if (std::string_view("NSA").find(answer.type) == std::string_view::npos)
                return false;
        }
        return true;
    }

    /// Reads one message, if there is one.
    void step() {
        if (dead_ || input.empty())
            return;
        if (random_() % 8 == 0)
            answer("NSA"[random_() % 3]);
        const model_request request = input.front();
        input.pop_front();
        if (copy_) {
            read_in_copy(request);
        } else if (request.type == 'S') {
            sync(request);
        } else if (!discarding_) {
            execute(request);
        }
    }

private:
    struct copy {
        bool extended;
        char kind;
        std::string rest;  ///< statements of the Query behind it
    };

    void answer(char type) { output.push_back({type, status_}); }

    void ready() {
        unsynced_ = false;
        answer('Z');
    }

    void fail(bool extended) {
        answer('E');
        copy_.reset();
        status_ = status_ == 'I' ? 'I' : 'E';
        if (extended) {
            discarding_ = true;
        } else {
            ready();
        }
    }

    void read_in_copy(const model_request& request) {
        switch (request.type) {
        case 'd':
            if (copy_->kind == 'r')
                fail(copy_->extended);
            return;
        case 'H':
        case 'S':
            return;
        case 'c':
            if (copy_->kind == 'e') {
                fail(copy_->extended);
            } else {
                finish_copy();
            }
            return;
        case 'f':
            fail(copy_->extended);
            return;
        default:
            answer('E');
            answer('E');
            dead_ = true;
        }
    }

    void finish_copy() {
        const copy done = *copy_;
        copy_.reset();
        answer('C');
        if (!done.extended)
            run(done.rest);
    }

    void sync(const model_request& request) {
        discarding_ = false;
        if (request.plan == "x" && status_ == 'I' && unsynced_)
            answer('E');  // a deferred constraint
        ready();
    }

    void execute(const model_request& request) {
        switch (request.type) {
        case 'Q':
            run(request.plan);
            return;
        case 'F':
            if (request.plan == "x" || status_ == 'E') {
                fail(false);
            } else {
                answer('V');
                ready();
            }
            return;
        case 'P':
        case 'B':
        case 'C':
            unsynced_ = true;
            if (request.plan == "x") {
                fail(true);
            } else {
                answer(request.type == 'P' ? '1' : request.type == 'B' ? '2' : '3');
            }
            return;
        case 'D':
            unsynced_ = true;
            if (request.plan == "x") {
                fail(true);
            } else {
                answer(random_() % 2 == 0 ? 'T' : 'n');
            }
            return;
        case 'E':
            unsynced_ = true;
            run_statement(request.plan.empty() ? 's' : request.plan[0], true, "");
            return;
        default:  // CopyData, CopyDone, CopyFail, Flush outside of COPY
            return;
        }
    }

    void run(std::string statements) {
        while (!statements.empty()) {
            const char statement = statements[0];
            statements.erase(0, 1);
            if (!run_statement(statement, false, statements))
                return;
        }
        ready();
    }

    /// False when it failed or is a COPY that reads now: whoever ends that goes on.
    bool run_statement(char statement, bool extended, const std::string& rest) {
        if (statement == 'x' || (status_ == 'E' && statement != 'c')) {
            fail(extended);
            return false;
        }
        switch (statement) {
        case '0':
            answer('I');
            return true;
        case 'b':
            status_ = 'T';
            break;
        case 'c':
            status_ = 'I';
            break;
        case 'o':
            answer('H');
            answer('d');
            answer('c');
            break;
        case 's':
            answer('D');
            if (extended && random_() % 4 == 0) {
                answer('s');
                return true;
            }
            break;
        default:
            answer('G');
            copy_ = copy{extended, statement, rest};
            if (statement == 'v')
                fail(extended);
            return false;
        }
        answer('C');
        return true;
    }

    std::mt19937 random_;
    std::optional<copy> copy_;
    char status_ = 'I';
    bool discarding_ = false;
    bool unsynced_ = false;  ///< extended messages since the last Sync or Query
    bool dead_ = false;
};

}  // namespace pgsluice::protocol
