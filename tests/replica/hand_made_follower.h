#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "net/client_connection.h"
#include "persist/database.h"
#include "replica/channel.h"
#include "replica/handshake.h"
#include "replica/life.h"
#include "replica/node.h"
#include "tests/support/comes_true.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

using Milliseconds = std::chrono::milliseconds;

// Makes an event durable, and does not wait for followers.
inline void write_unacknowledged(Database& database) {
    const Request request = Mutation(mutation::Increment{"a", 1, some_day, 1});
    Outcome outcome;
    database.execute(std::span(&request, 1), std::span(&outcome, 1));
    database.commit();
}

// A follower that does what the test says.
class HandMadeFollower {
public:
    explicit HandMadeFollower(std::uint16_t port,
                              const std::function<void(net::Subscription&)>& change = {}) {
        net::ClientConnection connection("127.0.0.1", port, patience());
        net::Subscription self;
        self.format = replica::stream_format;
        self.name = "by-hand";
        self.node_id = 77;
        self.heartbeat_ms = 20;
        self.is_empty = true;
        self.checksum = 0;  // of no event: it has nothing, rather than a half
        self.syncs = true;
        self.stores_lists = true;
        if (change) change(self);
        connection.queue_line(replica::subscribe_line(self, ""));
        reply = replica::read_reply(connection.read_line());
        if (!reply.accepted) return;
        std::string received;
        net::ByteStream stream = connection.release(received);
        channel = std::make_unique<replica::Channel>(std::move(stream), std::move(received));
    }

    void acknowledge(Lsn lsn) {
        channel->queue_numbers(replica::FrameKind::acknowledged, {lsn});
        channel->pump(Milliseconds(0), false);
    }
    // What the source says of itself until it says what is looked for.
    std::optional<replica::Life> hear(const std::function<bool(const replica::Life&)>& is_it) {
        std::optional<replica::Life> found;
        comes_true([&] {
            channel->pump(Milliseconds(5));
            while (const auto frame = channel->next_frame()) {
                has_state = has_state || frame->kind == replica::FrameKind::state_end;
                is_compared = is_compared || frame->kind == replica::FrameKind::digest_at;
                if (frame->kind != replica::FrameKind::heartbeat) continue;
                std::string_view payload = frame->payload;
                heard_lsn = replica::take_number(payload);
                replica::take_number(payload);
                replica::Life life = replica::read_life(payload);
                channel->queue_numbers(replica::FrameKind::alive, {channel->bytes_received()});
                if (life.counted && stores) {
                    const replica::CountedList& list = *life.counted;
                    channel->queue_numbers(replica::FrameKind::list_stored,
                                           {list.epoch.number, list.epoch.id, list.version});
                }
                if (is_it(life)) found = std::move(life);
            }
            return found.has_value();
        });
        return found;
    }

    // Until it was sent the events up to there, or a state.
    bool receives(Lsn lsn) {
        return comes_true([&] {
            hear([](const replica::Life&) { return true; });
            return heard_lsn >= lsn;
        });
    }

    replica::SubscribeReply reply;
    std::unique_ptr<replica::Channel> channel;
    Lsn heard_lsn = 0;                     // of the last heartbeat: events come before it
    bool has_state = false;                // to its end
    bool stores = true;                    // the lists that it is told
    std::atomic<bool> is_compared{false};  // was asked for digests, which it never sends
};

inline replica::NodeOptions with_acks(std::uint32_t count) {
    replica::NodeOptions options;
    options.source.min_acks = count;
    return options;
}

inline DatabaseOptions waiting_for(std::uint32_t acks, std::uint32_t timeout_ms = 100) {
    DatabaseOptions options;
    options.replication_min_acks = acks;
    options.replication_ack_timeout_ms = timeout_ms;
    return options;
}

}  // namespace karma::test
