#include "net/op_fields.h"

#include <algorithm>
#include <array>
#include <span>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "net/nearest_word.h"
#include "net/text_parts.h"

namespace karma::net {
namespace {

struct OpFields {
    std::string_view op;
    // As in the text, but with '?' behind an optional one. "..." in the end: others are passed over.
    std::string_view fields;
};

constexpr OpFields described[] = {
    {"system.ping", ""},
    {"system.health", ""},
    {"system.stats", ""},
    {"system.metrics", ""},
    {"system.compact", ""},
    {"tree.create", "series|tree"},
    {"tree.drop", "series|tree"},
    {"tree.list", "limit? cursor?"},
    {"tree.info", "series|tree"},
    {"tree.keys", "series|tree limit? cursor?"},
    {"tree.top", "series|tree limit? range|last? as_of?"},
    {"tree.summary", "series|tree range|last? as_of?"},
    {"tree.series", "series|tree range|last"},
    {"tree.reset", "series|tree"},
    {"tree.delete_range", "series|tree range|last"},
    {"counter.increment", "series|tree key bucket|date? value? reply?"},
    {"counter.decrement", "series|tree key bucket|date? value? reply?"},
    {"counter.sum", "series|tree key range|last? as_of?"},
    {"counter.series", "series|tree key range|last as_of?"},
    {"counter.batch_sum", "series|tree keys range|last? as_of?"},
    {"counter.multi_sum", "items range|last?"},
    {"counter.multi_add", "items"},
    {"counter.reset", "series|tree key"},
    {"counter.batch_reset", "series|tree keys"},
    {"counter.delete_range", "series|tree key range|last"},
    {"counter.batch_delete_range", "series|tree keys range|last"},
    {"series.batch_add", "series|tree items"},
    {"series.batch_set", "series|tree items"},
    {"series.totals", "series|tree range|last as_of?"},
    {"series.delete_before", "series|tree before|date"},
    {"series.compact", "series|tree"},
    {"ingest.begin", "stream_id mode granularity?"},
    {"ingest.chunk", "stream_id series|tree chunk_seq items"},
    {"ingest.commit", "stream_id"},
    {"ingest.abort", "stream_id"},
    {"ingest.prune", "before limit?"},
    {"snapshot.create", "series|tree"},
    {"snapshot.create_all", ""},
    {"snapshot.list", "limit? cursor?"},
    {"snapshot.info", "limit? cursor?"},
    {"snapshot.load", "file"},
    {"snapshot.fetch", "file"},
    {"snapshot.fetch_chunk", "file offset? limit?"},
    {"snapshot.verify", ""},
    {"recovery.checkpoint", "source offset|source_offset? event_id?"},
    {"recovery.status", "source?"},
    {"reconciliation.report", "checked_points mismatch_count absolute_drift? max_abs_delta?"},
    {"replication.status", "limit? cursor?"},
    {"replication.entries", "after_lsn limit?"},
    {"replication.position", "lsn?"},
    {"replication.subscribe",
     "format name after_lsn checksum? epochs epochs_skipped? marks? heartbeat_ms database_id? node_id? "
     "known_epoch? known_epoch_id? empty? syncs? port? fails_over? stores_lists? order? ..."},
    {"replication.promote", "force?"},
    {"replication.promise", "epoch? epoch_id? database_id? node_id? silence_ms? ordered? ..."},
    {"replication.forget_follower", "node_id? name?"},
    {"replication.fence", "epoch epoch_id database_id? node_id? name? host? port? ..."},
    {"replication.verify", ""},
    {"event.list", "after_lsn? limit? series|tree? key? from? to? wait_ms?"},
    {"idempotency.prune", "before limit?"},
    {"idempotency.snapshot_fetch_chunk", "offset? limit? last_lsn?"},
    {"export.begin", "series|tree? snapshot?"},
    {"export.fetch", "export_id file offset? limit?"},
    {"export.end", "export_id"},
};

constexpr std::string_view for_once = "idempotency_key? fingerprint?";
constexpr std::string_view any_other = "...";

std::string_view description_of(std::string_view op) {
    const auto* const found = std::ranges::find(described, op, &OpFields::op);
    return found == std::end(described) ? std::string_view() : found->fields;
}

/// Calls `each` with the names of every field (those that mean the same joined by '|'), and whether it is
/// optional.
template <typename Each>
void for_each_field(const Op& op, const Each& each) {
    const auto in = [&](std::string_view fields) {
        for_each_part(fields, ' ', [&](std::string_view field) {
            if (field == any_other) return;
            const bool optional = field.ends_with('?');
            if (optional) field.remove_suffix(1);
            each(field, optional);
        });
    };
    in(description_of(op.name));
    if (op.idempotent) in(for_once);
}

std::string sentence(const Op& op, std::string_view name, std::span<const std::string_view> known,
                     const std::string& prefix) {
    constexpr std::size_t compared_max = 64;
    const std::string_view compared = name.substr(0, compared_max);
    std::string text = "Field " + prefix + std::string(compared) + " is unknown to " + std::string(op.name);
    if (!known.empty()) {
        text += ": the nearest known one is " + prefix + std::string(nearest_word(name, known));
    }
    const std::string fields = op_fields_text(op);
    return text + (fields.empty() ? "; it takes no fields" : "; it takes " + fields);
}

std::optional<std::string> unknown_member(const Op& op, const boost::json::object& object,
                                          std::span<const std::string_view> known,
                                          const std::string& prefix) {
    for (const auto& member : object) {
        const std::string_view name = member.key();
        if (std::ranges::find(known, name) == known.end()) return sentence(op, name, known, prefix);
    }
    return std::nullopt;
}

}  // namespace

std::string op_fields_text(const Op& op) {
    std::string text;
    for_each_field(op, [&](std::string_view names, bool optional) {
        if (!text.empty()) text += ' ';
        if (optional) text += '[';
        text += names;
        if (optional) text += ']';
    });
    return text;
}

std::vector<std::string_view> op_field_names(const Op& op) {
    std::vector<std::string_view> all;
    for_each_field(op, [&](std::string_view names, bool /*optional*/) {
        for_each_part(names, '|', [&](std::string_view name) { all.push_back(name); });
    });
    return all;
}

std::optional<std::string> unknown_field(const Op& op, const boost::json::object& request) {
    static constexpr std::array<std::string_view, 3> of_all = {"v", "op", "token"};
    static constexpr std::array<std::string_view, 2> of_range = {"from", "to"};
    static constexpr std::array<std::string_view, 3> of_item = {"series", "tree", "key"};
    static constexpr std::array<std::string_view, 6> of_addition = {"series", "tree", "key",
                                                                    "bucket", "date", "value"};
    const bool adds = op.name == "counter.multi_add";
    if (description_of(op.name).ends_with(any_other)) return std::nullopt;
    const std::vector<std::string_view> known = op_field_names(op);
    for (const auto& member : request) {
        const std::string_view name = member.key();
        if (std::ranges::find(of_all, name) != of_all.end()) continue;
        if (std::ranges::find(known, name) == known.end()) return sentence(op, name, known, "");
        std::optional<std::string> inside;
        if (name == "range" && member.value().is_object()) {
            inside = unknown_member(op, member.value().get_object(), of_range, "range.");
        } else if (name == "items" && member.value().is_array()) {
            for (const boost::json::value& item : member.value().get_array()) {
                if (item.is_object()) {
                    inside = unknown_member(op, item.get_object(),
                                            adds ? std::span<const std::string_view>(of_addition) : of_item,
                                            "items[].");
                }
                if (inside) break;
            }
        }
        if (inside) return inside;
    }
    return std::nullopt;
}

}  // namespace karma::net
