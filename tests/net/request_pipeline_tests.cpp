#include <string>

#include <doctest/doctest.h>

#include "net/line_protocol.h"
#include "net/request_pipeline.h"
#include "tests/net/fake_executor.h"

namespace karma::test {
namespace {

void write_small(const Error& error, std::string& out) {
    out += "error " + std::string(error_code_name(error.code)) + "\n";
}

void write_large(const Error& error, std::string& out) {
    out += "ERROR " + std::string(error_code_name(error.code)) + "\n";
}

// A protocol of the test: a word on each line, answered in its case.
class WordProtocol final : public net::Protocol {
public:
    Taken take(net::LineBuffer& input, bool /*accepts_writes*/, Request& request, net::Call& call,
               Error& refusal) override {
        if (!input.take(word_)) {
            return Taken::nothing;
        }
        const bool is_large = word_.starts_with("A") || word_.starts_with("S") || word_.starts_with("T");
        call.bytes = word_.size();
        call.write_error = is_large ? &write_large : &write_small;
        if (word_ == "add" || word_ == "ADD") {
            request.emplace<Mutation>(mutation::Increment{"series", 1, 20'000, 1});
            return Taken::request;
        }
        if (word_ == "sum" || word_ == "SUM") {
            request.emplace<query::Sum>(query::Sum{"series", 1, std::nullopt});
            return Taken::request;
        }
        if (word_ == "top" || word_ == "TOP") {
            request.emplace<query::SeriesTop>();
            return Taken::request;
        }
        refusal = {ErrorCode::unknown_command, "unknown"};
        return word_ == "quit" ? Taken::last_refusal : Taken::refusal;
    }
    void put_back(net::LineBuffer& input) noexcept override { input.put_back(word_); }
    void release() noexcept override { ++released; }
    std::optional<ErrorCode> write(const net::Call& call, const Reply& reply, Deduplication /*deduplication*/,
                                   const Deadline& /*deadline*/, std::string& out) const override {
        if (const auto* const error = std::get_if<Error>(&reply)) {
            call.write_error(*error, out);
            return error->code;
        }
        out += call.write_error == &write_large ? "DONE" : "done";
        if (const auto* const number = std::get_if<reply::Number>(&reply)) {
            out += " " + std::to_string(number->value);
        }
        out += "\n";
        return std::nullopt;
    }
    net::WriteError error_writer() const noexcept override { return &write_small; }

    int released = 0;

private:
    std::string_view word_;
};

class TestedPipeline final : private net::PipelineHost {
public:
    explicit TestedPipeline(std::unique_ptr<net::Protocol> protocol = std::make_unique<WordProtocol>())
        : pipeline_(*this, context_, std::move(protocol)) {}

    // What the client gets from these lines, as far as it may have it.
    std::string send(std::string_view lines) {
        const std::span<char> room = pipeline_.input_room();
        REQUIRE(room.size() >= lines.size());
        std::ranges::copy(lines, room.begin());
        pipeline_.input().add(lines.size());
        pipeline_.process(Time{});
        return taken();
    }
    std::string released() {
        pipeline_.release();
        pipeline_.process(Time{});
        return taken();
    }
    std::string finished() {
        REQUIRE(task_);
        executor.release_tasks();
        const std::unique_ptr<Task> task = std::move(task_);
        pipeline_.finish_task(
            net::run_task(*task, task_call_, NoDeadline(), pipeline_.protocol(), executor.stats()));
        return released();
    }
    bool hears_more() const { return !pipeline_.is_oversized(); }

    FakeExecutor executor;

private:
    using Time = net::ReplyQueue::Time;

    void await_release(const net::ReplyQueue::Wait& /*wait*/) override {}
    void start_task(std::unique_ptr<Task> task, const net::Call& call) override {
        task_ = std::move(task);
        task_call_ = call;
    }
    std::string client_host() const override { return {}; }
    void await_records() override {}

    std::string taken() {
        std::string text(pipeline_.replies().sendable());
        pipeline_.note_sent(text.size());
        return text;
    }

    static net::ServerOptions unlimited() {
        net::ServerOptions options;
        options.query_timeout = std::chrono::milliseconds(0);
        return options;
    }

    net::ServerOptions options_ = unlimited();
    net::Batch batch_;
    net::PipelineContext context_{options_, executor, batch_, false, [] { return Time{}; }};
    net::RequestPipeline pipeline_;
    std::unique_ptr<Task> task_;
    net::Call task_call_;
};

}  // namespace

TEST_CASE("pipeline: any protocol is served, refusals in their place") {
    TestedPipeline pipeline;
    pipeline.executor.make_durable(10);
    CHECK(pipeline.send("add\nwhat\nSUM\nadd\n") == "done 1\nerror unknown_command\nDONE 1\ndone 2\n");
    CHECK(pipeline.hears_more());
}

TEST_CASE("pipeline: nothing is taken behind a refusal that is the last") {
    TestedPipeline pipeline;
    pipeline.executor.make_durable(10);
    CHECK(pipeline.send("add\nquit\nadd\n") == "done 1\nerror unknown_command\n");
    CHECK_FALSE(pipeline.hears_more());
    CHECK(pipeline.executor.events() == 1);
}

TEST_CASE("pipeline: a reply that can no longer be sent becomes an error in the form of its own call") {
    TestedPipeline pipeline;
    CHECK(pipeline.send("add\nADD\nSUM\nadd\nwhat\n").empty());
    pipeline.executor.make_durable(1);
    pipeline.executor.fail();
    CHECK(pipeline.released() ==
          "done 1\nERROR internal_error\nERROR internal_error\nerror internal_error\nerror internal_error\n");
}

TEST_CASE("pipeline: the reply of a task has the form of its call") {
    TestedPipeline pipeline;
    pipeline.executor.make_durable(10);
    CHECK(pipeline.send("TOP\nadd\n").empty());
    CHECK(pipeline.finished() == "DONE\ndone 1\n");
    CHECK(pipeline.send("add\ntop\n") == "done 2\n");
    CHECK(pipeline.finished() == "done\n");
}

TEST_CASE("pipeline: requests of protocol v1 and v2 wait together, and fail each in its own form") {
    const net::Access access("", "");
    net::RequestDecoder decoder(access);
    const net::V1Decoder v1(access);
    const net::ReplyWriter writer(1'000);
    TestedPipeline pipeline(std::make_unique<net::LineProtocol>(decoder, writer, 1'000, &v1));
    const std::string v1_increment = R"({"command":"increment","tree_name":"a","key":1})"
                                     "\n";
    const std::string v2_increment = R"({"v":2,"op":"counter.increment","series":"a","key":1})"
                                     "\n";
    CHECK(pipeline.send(v1_increment + v2_increment + "x\n" + v1_increment + "x\n").empty());
    pipeline.executor.make_durable(1);
    const std::string done = pipeline.released();
    CHECK(done == "{\"protocol_version\":1,\"success\":true,\"response\":1,\"error_code\":null}\r\n");
    pipeline.executor.fail();
    std::string failed = pipeline.released();
    for (const char* const version : {"2", "2", "1", "1"}) {
        const std::size_t end = failed.find('\n');
        REQUIRE(end != std::string::npos);
        const std::string line = failed.substr(0, end);
        CAPTURE(line);
        CHECK(line.starts_with(std::string("{\"protocol_version\":") + version + ",\"success\":false,"));
        CHECK(line.ends_with("\"error_code\":\"internal_error\"}\r"));
        failed.erase(0, end + 1);
    }
    CHECK(failed.empty());
}

}  // namespace karma::test
