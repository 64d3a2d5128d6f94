#include "replica/handshake.h"

#include <algorithm>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "net/client_request.h"
#include "replica/channel.h"
#include "replica/json_fields.h"

namespace karma::replica {

namespace json = boost::json;

namespace {

/// The last event that two histories share, going by their epochs alone; nothing where the epochs of the one
/// are the first of the other.
std::optional<Lsn> parted_by_epochs(const Epochs& told, const Epochs& own, Lsn follower_lsn) {
    // Of a long list only the end was told: what is before it is taken for the same.
    std::size_t at = 0;
    if (!told.empty()) {
        const auto same = std::ranges::find(own, told.front());
        at = same == own.end() ? 0 : static_cast<std::size_t>(same - own.begin());
    }
    std::size_t shared = 0;
    while (shared < told.size() && at + shared < own.size() && told[shared] == own[at + shared]) {
        ++shared;
    }
    // A follower may say of itself what cannot be.
    const auto before = [&](const Epoch& epoch) {
        return std::min(epoch.first_lsn - std::min<Lsn>(epoch.first_lsn, 1), follower_lsn);
    };
    std::optional<Lsn> parted;
    if (shared < told.size()) {
        parted = before(told[shared]);
    }
    if (at + shared < own.size() && own[at + shared].first_lsn <= follower_lsn) {
        parted = std::min(parted.value_or(follower_lsn), before(own[at + shared]));
    }
    return parted;
}

}  // namespace

Decision decide(const net::Subscription& follower, const OwnHistory& own) {
    if (last_epoch(follower.epochs).is_later_than(last_epoch(own.epochs))) {
        return {Verdict::stale, std::nullopt};
    }
    if (follower.wants_state) {
        return {Verdict::state, std::nullopt};
    }
    if (follower.after_lsn == 0) {
        return {own.last_lsn == 0 ? Verdict::stream : Verdict::state, std::nullopt};
    }
    if (const auto parted = parted_by_epochs(follower.epochs, own.epochs, follower.after_lsn)) {
        return {Verdict::diverged, parted};
    }
    if (follower.after_lsn > own.last_lsn) {
        return {Verdict::diverged, std::nullopt};  // this node has lost events, or is another one's
    }
    const HistoryMark here = own.mark_at(follower.after_lsn);
    if (!here.checksum || !follower.checksum) {
        return {Verdict::state, std::nullopt};
    }
    if (*here.checksum != *follower.checksum) {
        return {Verdict::diverged, std::nullopt};
    }
    return {follower.after_lsn + 1 < own.first_kept_lsn ? Verdict::state : Verdict::stream, std::nullopt};
}

std::string subscribe_line(const net::Subscription& subscription, const std::string& token) {
    json::object fields{{"format", subscription.format},
                        {"name", subscription.name},
                        {"after_lsn", subscription.after_lsn},
                        {"checksum", nullptr},
                        {"heartbeat_ms", subscription.heartbeat_ms},
                        {"state", subscription.wants_state ? 1 : 0}};
    if (subscription.checksum) {
        fields["checksum"] = *subscription.checksum;
    }
    json::array epochs;
    const std::size_t skipped =
        subscription.epochs.size() - std::min(subscription.epochs.size(), epochs_told_max);
    for (std::size_t i = skipped; i < subscription.epochs.size(); ++i) {
        epochs.emplace_back(subscription.epochs[i].number);
        epochs.emplace_back(subscription.epochs[i].id);
        epochs.emplace_back(subscription.epochs[i].first_lsn);
    }
    fields["epochs"] = std::move(epochs);
    return net::request_line("replication.subscribe", token, std::move(fields));
}

std::string reply_line(const SubscribeReply& reply) {
    json::object line{{"protocol_version", 2}, {"success", reply.accepted}};
    if (reply.accepted) {
        line["response"] = json::object{{"format", stream_format},
                                        {"mode", reply.state_follows ? "state" : "stream"},
                                        {"lsn", reply.lsn},
                                        {"epoch", reply.epoch}};
        line["error_code"] = nullptr;
    } else {
        line["response"] = reply.message;
        line["error_code"] = reply.error_code;
        line["lsn"] = reply.lsn;
        line["epoch"] = reply.epoch;
        line["common_lsn"] = nullptr;
        if (reply.common_lsn) {
            line["common_lsn"] = *reply.common_lsn;
        }
    }
    return json::serialize(line) + "\r\n";
}

SubscribeReply read_reply(std::string_view line) {
    const std::optional<json::object> members = net::parse_reply(line);
    if (!members) {
        throw ChannelError("what answers there is no Karma");
    }
    SubscribeReply reply;
    reply.accepted = members->at("success").get_bool();
    if (!reply.accepted) {
        const JsonFields fields(*members);
        reply.error_code = fields.text_if_any("error_code").value_or("");
        reply.message = fields.text_if_any("response").value_or("");
        // Who does not know what was asked, or whom, tells nothing more.
        reply.lsn = fields.number_if_any("lsn").value_or(0);
        reply.epoch = fields.number_if_any("epoch").value_or(0);
        reply.common_lsn = fields.number_if_any("common_lsn");
        return reply;
    }
    const JsonFields fields(members->at("response"));
    if (fields.number("format") != stream_format) {
        throw ChannelError("the master's stream is of a form that this program does not know");
    }
    reply.state_follows = fields.text("mode") == "state";
    reply.lsn = fields.number("lsn");
    reply.epoch = fields.number("epoch");
    return reply;
}

}  // namespace karma::replica
