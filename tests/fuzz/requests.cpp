// Request lines, as many as the input has: both decoders of protocol v2 agree about each, an engine executes
// them, every reply is a line of JSON, and the events that came of it give another engine the same state. The
// same lines are taken by a connection that speaks protocol v1, too: there is one reply for each, in the form
// of its protocol.
#include <algorithm>
#include <string>
#include <vector>

#include <boost/json/parse.hpp>

#include "engine/engine.h"
#include "engine/event_codec.h"
#include "net/client_request.h"
#include "net/line_protocol.h"
#include "net/reply_writer.h"
#include "net/request_decoder.h"
#include "tests/fuzz/fuzz.h"
#include "tests/net/request_text.h"

namespace karma::test {
namespace {

constexpr std::int64_t fuzz_time_ms = 1'780'000'000'000;

// Collects the events that an engine makes.
class GatheringSink final : public EventSink {
public:
    void accept(const Event& event, const EventRecords& /*records*/) override { group_.add(event); }

    EventGroupBuilder& group() { return group_; }

private:
    EventGroupBuilder group_;
};

void compare_decoders(net::RequestDecoder& decoder, std::string_view line, bool accepts_writes) {
    const std::string general = describe(decoder.decode_general(line, accepts_writes));
    const std::string quick = describe(decoder.decode(line, accepts_writes));
    expect(quick == general, "both decoders read the same");
}

void check_reply(std::string_view reply) {
    expect(reply.ends_with("\r\n"), "a reply ends its line");
    reply.remove_suffix(2);
    expect(reply.find('\n') == std::string_view::npos, "a reply is one line");
    expect(net::parse_reply(reply).has_value(), "a reply is what clients read");
}

const Reply& result_of(Outcome& outcome) {
    if (auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result)) {
        try {
            outcome.result = (*task)->run(NoDeadline());
        } catch (const RequestError& refused) {
            outcome.result = Error{refused.code(), refused.what()};
        }
    }
    return std::get<Reply>(outcome.result);
}

void answer(Outcome& outcome) {
    const net::ReplyWriter writer(1U << 20U);
    std::string line;
    writer.write(result_of(outcome), outcome.deduplication, NoDeadline(), line);
    check_reply(line);
}

void check_replay(const Engine& engine, EventGroupBuilder& group) {
    if (group.empty()) {
        return;
    }
    std::string bytes;
    group.finish(bytes);
    NullSink sink;
    Engine other(2, sink);
    read_event_group(bytes, [&](const Event& event) { other.replicate(event); });
    expect(other.view().digest(NoDeadline()) == engine.view().digest(NoDeadline()),
           "the events give the same state");
}

// A connection on which a line may be of either protocol.
void serve_both(std::string_view input) {
    static const net::Access open("", "");
    constexpr std::size_t line_bytes_max = 1'000;
    const net::ReplyWriter writer(10'000);
    const net::V1Decoder v1(open);
    net::RequestDecoder decoder(open);
    net::LineProtocol protocol(decoder, writer, line_bytes_max, &v1);
    net::LineBuffer lines(line_bytes_max);
    GatheringSink sink;
    Engine engine(1, sink);
    auto taken = net::Protocol::Taken::nothing;
    while (!input.empty() && taken != net::Protocol::Taken::last_refusal) {
        const std::span<char> room = lines.room();
        const std::size_t size = std::min(room.size(), input.size());
        std::copy_n(input.data(), size, room.data());
        lines.add(size);
        input.remove_prefix(size);
        Request request;
        net::Call call;
        Error refused;
        while ((taken = protocol.take(lines, true, request, call, refused)) !=
               net::Protocol::Taken::nothing) {
            Outcome outcome{Reply(refused)};
            if (taken == net::Protocol::Taken::request) {
                outcome = engine.execute(request, fuzz_time_ms);
            }
            std::string reply;
            protocol.write(call, result_of(outcome), outcome.deduplication, NoDeadline(), reply);
            check_reply(reply);
            const bool is_v2 = call.form == net::ReplyForm::v2;
            expect(reply.starts_with(is_v2 ? "{\"protocol_version\":2," : "{\"protocol_version\":1,"),
                   "a reply has the form of its protocol");
            protocol.release();
            if (taken == net::Protocol::Taken::last_refusal) {
                break;
            }
        }
    }
    check_replay(engine, sink.group());
}

}  // namespace

void run_input(std::string_view input) {
    serve_both(input);
    static const net::Access open("", "");
    static const net::Access closed("secret", "read");
    net::RequestDecoder decoder(open);
    net::RequestDecoder strict(closed);
    GatheringSink sink;
    Engine engine(1, sink);
    while (!input.empty()) {
        const std::size_t end = input.find('\n');
        // A copy of its own, so that reading behind it is seen.
        const std::vector<char> bytes(
            input.begin(), input.begin() + static_cast<std::ptrdiff_t>(std::min(end, input.size())));
        const std::string_view line(bytes.data(), bytes.size());
        input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
        compare_decoders(decoder, line, true);
        compare_decoders(strict, line, true);
        compare_decoders(decoder, line, false);
        Request request;
        net::Call call;
        if (!decoder.decode(line, true, request, call)) {
            Outcome outcome = engine.execute(request, fuzz_time_ms);
            answer(outcome);
        }
        decoder.release();
        strict.release();
    }
    check_replay(engine, sink.group());
}

}  // namespace karma::test
