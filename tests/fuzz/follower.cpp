// What comes from a master: frames through a channel, with pieces of a state, groups of events, and digests,
// taken as a follower takes them; a state that was taken can be given to the next one. The first byte says
// whether frames lie in the input as they are, or each as its kind, two bytes with its length, and its
// payload.
#include <memory>
#include <string>
#include <sys/socket.h>

#include "engine/error.h"
#include "engine/event_codec.h"
#include "persist/memory_storage.h"
#include "persist/state_transfer.h"
#include "replica/channel.h"
#include "replica/digests.h"
#include "tests/fuzz/fuzz.h"

namespace karma::test {
namespace {

using replica::Channel;
using replica::FrameKind;

constexpr std::size_t fuzz_payload_max = 1U << 20U;
constexpr std::chrono::milliseconds no_wait{0};

Digest digest_of_state(const Engine& engine) { return engine.view().digest(NoDeadline()); }

// A node that follows: its engine, and the state that it is being given.
class FuzzFollower {
public:
    // Throws CorruptionError and ChannelError.
    void take(FrameKind kind, std::string_view payload) {
        switch (kind) {
            case FrameKind::state_piece: receiver().add(payload); break;
            case FrameKind::state_end: (void)receiver().install(Replacement()); break;
            case FrameKind::events: take_events(payload); break;
            case FrameKind::heartbeat:
            case FrameKind::digest_at: (void)replica::take_number(payload); break;
            case FrameKind::digest: {
                const replica::Digests theirs = replica::read_digests(payload);
                const replica::Digests ours = replica::digests_of(engine_.view(), NoDeadline());
                expect(replica::difference(ours, theirs).empty() ==
                           (ours.rest() == theirs.rest() && ours.series == theirs.series),
                       "what differs is told");
                break;
            }
            default: throw replica::ChannelError("no frame of a master");
        }
    }

    void check() const { (void)digest_of_state(engine_); }

private:
    StateReceiver& receiver() {
        if (!receiver_) {
            receiver_.emplace(IdempotencyRetention{},
                              [this](ReceivedState& received, const Replacement&) -> std::filesystem::path {
                                  check_sending(received.engine, received.records, received.mark);
                                  engine_.exchange_state(received.engine);
                                  return {};
                              });
        }
        return *receiver_;
    }

    void take_events(std::string_view group) {
        read_event_group(group, [&](const Event& event) {
            if (event.lsn > engine_.last_lsn()) {
                engine_.replicate(event);
            }
        });
    }

    // The state can be given on.
    static void check_sending(const Engine& state, const std::vector<RecordChange>& records,
                              const HistoryMark& mark) {
        MemoryStorage storage;
        storage.write(records, false);
        std::optional<Digest> received;
        StateReceiver next(IdempotencyRetention{},
                           [&](ReceivedState& same, const Replacement&) -> std::filesystem::path {
                               received = digest_of_state(same.engine);
                               return {};
                           });
        StateSender(state.view(), {}, mark, state.hash_seed(), storage, DatabaseId(), HistoryMarks(), nullptr)
            .read([&](std::string_view piece) { next.add(piece); });
        (void)next.install(Replacement());
        expect(received == digest_of_state(state), "a state that was given on is the same");
    }

    NullSink sink_;
    Engine engine_{1, sink_};
    std::optional<StateReceiver> receiver_;
};

// Sends frames that are made of the input.
void queue_frames(Channel& sender, InputReader& reader) {
    while (!reader.empty()) {
        const auto kind = static_cast<FrameKind>(reader.number(1));
        sender.queue(kind, reader.text());
    }
}

void follow(Channel& channel, Channel& sender) {
    FuzzFollower follower;
    while (true) {
        sender.pump(no_wait, false);
        const std::uint64_t before = channel.bytes_received();
        while (const auto frame = channel.next_frame()) {
            follower.take(frame->kind, frame->payload);
        }
        channel.pump(no_wait);
        if (channel.bytes_received() == before) {
            break;
        }
    }
    follower.check();
}

}  // namespace

void run_input(std::string_view input) {
    int files[2] = {-1, -1};
    expect(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, files) == 0, "there is a pair of sockets");
    Channel sender{net::ByteStream(files[0])};
    Channel channel(net::ByteStream(files[1]), {}, fuzz_payload_max);
    InputReader reader(input);
    if (reader.number(1) % 2 == 0) {
        sender.queue_raw(reader.rest());
    } else {
        queue_frames(sender, reader);
    }
    try {
        follow(channel, sender);
    } catch (const CorruptionError&) {
    } catch (const replica::ChannelError&) {}
}

}  // namespace karma::test
