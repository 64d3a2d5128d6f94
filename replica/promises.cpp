#include "replica/promises.h"

#include <memory>
#include <mutex>
#include <utility>

#include "replica/json_fields.h"
#include "replica/master_client.h"
#include "replica/node.h"

namespace karma::replica {

namespace json = boost::json;

namespace {

json::object request_of(const PromiseQuestion& question) {
    json::object fields{{"node_id", node_id_text(question.node_id)},
                        {"silence_ms", question.silence.count()},
                        {"ordered", question.is_ordered}};
    if (question.database_id.is_known()) {
        fields["database_id"] = question.database_id.text();
    }
    if (question.epoch) {
        fields["epoch"] = question.epoch->number;
        fields["epoch_id"] = question.epoch->id;
    }
    return fields;
}

PromiseReply read_promise(const json::value& answer, const KnownNode& node, const PromiseQuestion& question) {
    using Kind = PromiseReply::Kind;
    const JsonFields fields(answer);
    PromiseReply reply{node, Kind::given, std::string(fields.text("reason")), {}};
    reply.known_epoch = {fields.number("epoch"), fields.number("epoch_id"), 0};
    const Epoch last{fields.number("last_epoch"), fields.number("last_epoch_id"), 0};
    const Lsn lsn = fields.number("lsn");
    const bool is_same_epoch =
        !last.is_later_than(question.last_epoch) && !question.last_epoch.is_later_than(last);
    if (last.is_later_than(question.last_epoch) || (is_same_epoch && lsn > question.lsn)) {
        reply.kind = Kind::ahead;
        reply.why = "it is ahead, at LSN " + std::to_string(lsn) + " of epoch " +
                    std::to_string(last.number) + ", and this node at LSN " + std::to_string(question.lsn) +
                    " of epoch " + std::to_string(question.last_epoch.number);
    } else if (!fields.flag("promised")) {
        reply.kind = Kind::refused;
    }
    return reply;
}

PromiseReply ask_one(Network& network, const std::string& token, const KnownNode& node,
                     const PromiseQuestion& question, std::chrono::milliseconds time,
                     const std::atomic<bool>& stop) {
    try {
        MasterClient client(network, {node.host, node.port, time, &stop}, token);
        return read_promise(client.ask("replication.promise", request_of(question)), node, question);
    } catch (const std::exception& failure) {
        return {node, PromiseReply::Kind::no_reply, failure.what(), {}};
    }
}

/// Of those who are asked and who asks them.
struct Asked {
    std::mutex mutex;
    std::unique_ptr<Condition> answered;
    std::size_t waiting = 0;
    std::atomic<bool> is_over{false};
};

}  // namespace

std::vector<PromiseReply> ask_for_promises(const Environment& environment, const std::string& token,
                                           const std::vector<KnownNode>& nodes,
                                           const PromiseQuestion& question, std::chrono::milliseconds time,
                                           const std::atomic<bool>& stop) {
    std::vector<PromiseReply> replies(nodes.size());
    Asked asked;
    asked.answered = environment.runtime.make_condition();
    asked.waiting = nodes.size();
    std::vector<std::unique_ptr<Thread>> threads;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        threads.push_back(environment.runtime.start_thread([&, i] {
            replies[i] = ask_one(environment.network, token, nodes[i], question, time, asked.is_over);
            const std::lock_guard lock(asked.mutex);
            --asked.waiting;
            asked.answered->notify_all();
        }));
    }
    constexpr auto stop_check = std::chrono::milliseconds(50);
    const Clock::time_point end = environment.runtime.now() + time;
    {
        std::unique_lock lock(asked.mutex);
        while (asked.waiting != 0 && !stop && environment.runtime.now() < end) {
            asked.answered->wait(lock, stop_check);
        }
    }
    asked.is_over = true;
    threads.clear();
    return replies;
}

std::string failover_refusal(const NodeOptions& options, Network& network) {
    constexpr auto timeout = std::chrono::milliseconds(2000);
    const FollowerOptions& follower = *options.follower;
    try {
        MasterClient source(network, {follower.host, follower.port, timeout}, follower.token);
        const json::value status = source.ask("replication.status");
        const JsonFields fields(status);
        const auto min_acks = fields.number_if_any("replication_min_acks");
        if (!min_acks) {
            return "the source is a Karma 1.0, which makes no promises";
        }
        std::size_t others = 0;
        for (const json::value& one : fields.array("followers")) {
            others += JsonFields(one).text("name") == follower.name ? 0 : 1;
        }
        if (fields.text("role") == "master" && !fields.flag("fenced") && *min_acks == 0 && others == 0) {
            return "the master acknowledges writes without this node (its --replication-min-acks is 0) and "
                   "has no other follower, so that nobody can tell a dead master from a cut connection";
        }
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): looked at when it matters
    }
    return {};
}

}  // namespace karma::replica
