#include "replica/follower_handshake.h"

#include <algorithm>
#include <utility>

#include "engine/error.h"
#include "net/client_connection.h"
#include "replica/channel.h"
#include "replica/proof.h"
#include "replica/unproved_history.h"

namespace karma::replica {
namespace {

constexpr auto connect_timeout_max = std::chrono::milliseconds(2000);

std::chrono::milliseconds connect_timeout(const FollowerOptions& options) {
    const auto timeout = std::min(options.timeout, connect_timeout_max);
    return options.fails_over()
               ? std::min(timeout, options.failover_timeout / 4 + std::chrono::milliseconds(20))
               : timeout;
}

}  // namespace

std::optional<AcceptedConnection> FollowerHandshake::run() {
    constexpr std::size_t reply_bytes_max = std::size_t{1} << 20U;
    const auto timeout = connect_timeout(context_.options);
    Peer source = context_.source_within(timeout);
    source.line_bytes_max = reply_bytes_max;
    std::unique_ptr<LineClient> line = context_.environment.network.connect(source);
    self_ = describe_self();
    reply_ = read_reply(ask(*line, timeout));
    take_epoch();
    if (!reply_.accepted) {
        line.reset();
        if (reply_.error_code == "unknown_command") {
            return std::nullopt;
        }
        on_refused();
    }
    check_offer();
    AcceptedConnection accepted;
    accepted.stream = line->release(accepted.received);
    accepted.reply = std::move(reply_);
    return accepted;
}

net::Subscription FollowerHandshake::describe_self() const {
    Replicated& database = context_.database;
    const FollowerOptions& options = context_.options;
    net::Subscription self;
    self.format = stream_format;
    self.name = options.name;
    self.is_empty = database.is_empty();
    if (!self.is_empty || !database.has_failed()) {
        // Nothing is told of that a crash could take back, and nothing is applied that is not told of.
        if (database.last_lsn() != database.durable_lsn()) {
            database.commit_replicated();
        }
        const auto mark_at = [&database](Lsn lsn) { return database.mark_at(lsn); };
        self.after_lsn = database.last_lsn();
        self.checksum = mark_at(self.after_lsn).checksum;
        self.marks = marks_below(self.after_lsn, mark_at);
    }
    if (!options.discard_order.empty() && !database.is_order_used(options.discard_order)) {
        self.order = options.discard_order;
    }
    self.database_id = database.database_id();
    self.node_id = database.node_id();
    self.known_epoch = database.known_epoch();
    self.syncs = database.syncs();
    self.port = options.own_port;
    self.stores_lists = context_.counted != nullptr;
    self.fails_over = options.fails_over();
    self.epochs = database.epochs();
    self.heartbeat_ms =
        static_cast<std::uint64_t>(std::clamp<std::int64_t>(options.silence_max().count() / 4, 20, 1000));
    return self;
}

/// An answer is a word of the source, and so is a connection that it closes: only silence is none.
std::string FollowerHandshake::ask(LineClient& line, std::chrono::milliseconds timeout) const {
    const Clock::time_point begun = context_.now();
    try {
        std::string answer = line.ask(subscribe_line(self_, context_.options.token));
        context_.status.note_word();
        return answer;
    } catch (const net::ConnectionError&) {
        if (context_.now() - begun < timeout) {
            context_.status.note_word();
        }
        throw;
    }
}

/// R2: each message that names an epoch raises the known one. Epochs of another database say nothing of this
/// one's.
void FollowerHandshake::take_epoch() const {
    if (reply_.known_epoch.number == 0 ||
        are_strangers(reply_.database_id, context_.database.database_id())) {
        return;
    }
    try {
        context_.database.fence(reply_.known_epoch, reply_.database_id);
    } catch (const RequestError& damaged) {
        context_.log.error("epoch_refused", {{"master", context_.source()}, {"message", damaged.what()}});
        throw ChannelError(damaged.what());
    }
}

void FollowerHandshake::on_refused() const {
    const bool is_no_master = !reply_.role.empty() && reply_.role != "master";
    if (is_no_master || reply_.known_epoch.is_later_than(last_epoch(context_.database.epochs()))) {
        context_.status.forget_sync();  // its silence is no master's any more
    }
    if (reply_.error_code == "replication_gap" && reply_.reason != "empty") {
        on_unproved();
    }
    throw SourceRefused{"refused", "the master refuses: " + reply_.message};
}

void FollowerHandshake::on_unproved() const {
    throw SourceRefused{reply_.reason == "stranger" ? "stranger" : "diverged",
                        UnprovedHistory(context_, reply_).why_refused()};
}

/// R1 and R5, whatever the source has concluded.
void FollowerHandshake::check_offer() const {
    if (reply_.node_id != 0 && reply_.node_id == self_.node_id) {
        throw SourceRefused{"refused", "this node is its own source"};
    }
    if (self_.is_empty || (reply_.state_follows && !reply_.is_proved && !self_.order.empty())) {
        return;
    }
    const UnprovedHistory unproved(context_, reply_);
    if (are_strangers(reply_.database_id, self_.database_id)) {
        throw SourceRefused{"stranger", unproved.why_refused()};
    }
    if (!reply_.is_proved) {
        throw SourceRefused{"refused", "the master offers a state without a proof, which nobody has ordered"};
    }
    if (reply_.lsn < self_.after_lsn) {
        throw SourceRefused{"diverged", "replication_gap: the master is at LSN " +
                                            std::to_string(reply_.lsn) + ", this node at " +
                                            std::to_string(self_.after_lsn) + unproved.order_advice()};
    }
}

}  // namespace karma::replica
