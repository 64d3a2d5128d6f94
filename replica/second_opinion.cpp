#include "replica/second_opinion.h"

#include <algorithm>
#include <string_view>

#include "engine/identity.h"
#include "replica/json_fields.h"
#include "replica/master_client.h"
#include "replica/node.h"

namespace karma::replica {
namespace {

using Says = Opinion::Verdict;

std::vector<std::string> ids_of(std::string_view chain) {
    constexpr std::string_view separator = " > ";
    std::vector<std::string> ids;
    while (!chain.empty()) {
        const std::size_t end = std::min(chain.find(separator), chain.size());
        ids.emplace_back(chain.substr(0, end));
        chain.remove_prefix(std::min(end + separator.size(), chain.size()));
    }
    return ids;
}

bool holds(const std::vector<std::string>& ids, const std::string& id) {
    return std::ranges::find(ids, id) != ids.end();
}

}  // namespace

Opinion opinion_of(const boost::json::value& status, const Witness& asking) {
    const JsonFields fields(status);
    if (fields.text("role") == "master") {
        if (fields.flag("fenced")) {
            return {Says::none, "it is fenced"};
        }
        return {Says::objects, "it is a master"};
    }
    const std::vector<std::string> chain = ids_of(fields.text_if_any("replication_chain").value_or(""));
    const std::string own_id = node_id_text(asking.node_id);
    if (chain.empty() || chain.front() == node_id_text(0) || holds(chain, own_id)) {
        return {Says::none, "it hears the master from this node, or does not say from whom"};
    }
    if (holds(ids_of(chain_text(asking.chain)), chain.front())) {
        return {Says::none, "this node hears the master from it"};
    }
    const boost::json::value& heard = fields.value("replication_seconds_since_master_heard");
    if (!heard.is_number()) {
        return {Says::none, "it has never heard a master"};
    }
    const std::chrono::duration<double> since(heard.to_number<double>());
    // It may hear the master over others, once a second each.
    constexpr std::chrono::milliseconds heard_within_min(3000);
    if (since < std::max(asking.failover_timeout, heard_within_min)) {
        return {Says::objects, "it has heard the master"};
    }
    const Lsn lsn = fields.number("replayed_lsn");
    if (lsn > asking.lsn) {
        return {Says::objects,
                "it has LSN " + std::to_string(lsn) + ", and this node " + std::to_string(asking.lsn)};
    }
    // Of those that would promote themselves now, one does.
    const std::uint64_t timeout = fields.number_if_any("replication_failover_timeout_ms").value_or(0);
    const auto own_timeout = static_cast<std::uint64_t>(asking.failover_timeout.count());
    const bool is_before = timeout != own_timeout ? timeout < own_timeout : chain.front() < own_id;
    if (timeout != 0 && lsn == asking.lsn && is_before) {
        return {Says::objects, "it promotes itself before this node"};
    }
    return {Says::agrees, "it has not heard the master either"};
}

std::string failover_refusal(const NodeOptions& options, Network& network) {
    constexpr auto timeout = std::chrono::milliseconds(2000);
    const FollowerOptions& follower = *options.follower;
    try {
        MasterClient source(network, {follower.host, follower.port, timeout}, follower.token);
        const boost::json::value status = source.ask("replication.status");
        const JsonFields fields(status);
        const auto min_acks = fields.number_if_any("replication_min_acks");
        if (!min_acks) {
            return "the source cannot be asked for a second opinion: it is a Karma 1.0";
        }
        std::size_t others = 0;
        for (const boost::json::value& one : fields.array("followers")) {
            others += JsonFields(one).text("name") == follower.name ? 0 : 1;
        }
        if (fields.text("role") == "master" && !fields.flag("fenced") && *min_acks == 0 && others == 0) {
            return "the master acknowledges writes without this node (its --replication-min-acks is 0) and "
                   "has "
                   "no other follower, so that nobody can tell a dead master from a cut connection";
        }
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): looked at when it matters
    }
    return {};
}

}  // namespace karma::replica
