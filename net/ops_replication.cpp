#include <limits>

#include "net/op_catalog.h"

namespace karma::net {

namespace field {

constexpr Field history_lsn{"lsn", {}, "number or null", "an event"};
constexpr Field force{
    "force", {}, "boolean", "also where other followers have not promised, and where this node is fenced"};
constexpr Field silence{
    "silence_ms", {}, "number", "how long the node that asks waits before it takes the master for lost"};
constexpr Field ordered{"ordered", {}, "boolean", "an operator wants it: the master may have been heard"};
constexpr Field host{"host", {}, "string or null", "the address of the node that began the epoch"};
constexpr Field format{"format", {}, "number", "the version of the stream"};
constexpr Field checksum{"checksum", {}, "number or null", "of the event at `after_lsn`"};
constexpr Field epochs{
    "epochs", {}, "array of numbers", "number, id and first LSN of each epoch of the follower's history"};
constexpr Field epochs_skipped{"epochs_skipped", {}, "number", "earlier epochs that are not in `epochs`"};
constexpr Field marks{
    "marks", {}, "array of numbers", "LSN and checksum of earlier events, the latest first"};
constexpr Field heartbeat{"heartbeat_ms", {}, "number", "how often the master says that it is there"};
constexpr Field known_epoch{"known_epoch", {}, "number", "the latest epoch that the follower was told of"};
constexpr Field known_epoch_id{"known_epoch_id", {}, "number", "its random id"};
constexpr Field is_empty{"empty", {}, "number", "1: the follower holds nothing"};
constexpr Field syncs{"syncs", {}, "number", "1: what the follower acknowledges is on its disk"};
constexpr Field fails_over{"fails_over", {}, "number", "1: the follower may promote itself"};
constexpr Field stores_lists{
    "stores_lists", {}, "number", "1: the follower stores lists of counted followers"};
constexpr Field order{
    "order", {}, "string, number or null", "the operator's order to replace what the follower holds"};

}  // namespace field
namespace {

using F = const Fields&;

/// A yes or no: a JSON boolean as text is taken too, as command lines give it.
bool flag(F f, const char* name) {
    const std::string_view text = f.boolean_or_text(name).value_or("false");
    if (text != "true" && text != "false") {
        refuse_request("Field " + std::string(name) + " must be true or false");
    }
    return text == "true";
}

void check_epoch(std::uint64_t number, const char* field) {
    if (number > foreign_epoch_max) {
        refuse_request("Field " + std::string(field) + " must not be greater than " +
                       std::to_string(foreign_epoch_max));
    }
}

/// The field `database_id`; not known where it is missing or null.
DatabaseId database_id(F f) {
    const std::optional<std::string_view> text = f.text_or_number("database_id");
    const std::optional<DatabaseId> id = text ? DatabaseId::from_text(*text) : DatabaseId();
    if (!id) {
        refuse_request("Field database_id must be 32 hexadecimal digits");
    }
    return *id;
}

NodeId node_id(F f) {
    const std::optional<std::string_view> text = f.text_or_number("node_id");
    const std::optional<NodeId> id = text ? node_id_from_text(*text) : NodeId{0};
    if (!id) {
        refuse_request("Field node_id must be 16 hexadecimal digits");
    }
    return *id;
}

/// The field `port`; 0 where it is missing.
std::uint16_t port(F f) {
    const std::uint64_t port = f.optional_number("port").value_or(0);
    if (port > port_bounds.high) {
        refuse_request("Field port must be a port");
    }
    return static_cast<std::uint16_t>(port);
}

constexpr Bounds entries_bounds{1, 10'000, 1'000};
constexpr Bounds foreign_epoch{1, foreign_epoch_max};
constexpr Bounds foreign_epoch_or_none{0, foreign_epoch_max, 0};

Decoded replication_status(F f) { return query::ReplicationStatus{f.page(page_or_none_bounds.low)}; }
Decoded replication_entries(F f) {
    return query::LogEntries{f.number("after_lsn"), limit_within(f, entries_bounds)};
}
Decoded replication_position(F f) { return query::HistoryPositionAt{f.nullable_number("lsn")}; }
Decoded replication_verify(F /*f*/) { return query::CompareDigests{}; }
Decoded replication_promote(F f) { return control::Promote{flag(f, "force")}; }

Decoded replication_fence(F f) {
    control::Fence fence{f.number("epoch"), f.number("epoch_id"), database_id(f), node_id(f)};
    fence.name = f.text_or_number("name").value_or("");
    fence.host = f.text_or_number("host").value_or("");
    fence.port = port(f);
    if (fence.number == 0) {
        refuse_request("Field epoch must be greater than 0");
    }
    check_epoch(fence.number, "epoch");
    return fence;
}

Decoded replication_promise(F f) {
    control::Promise promise;
    promise.epoch = f.optional_number("epoch").value_or(0);
    promise.epoch_id = f.optional_number("epoch_id").value_or(0);
    promise.database_id = database_id(f);
    promise.node_id = node_id(f);
    promise.silence_ms = f.optional_number("silence_ms").value_or(0);
    promise.is_ordered = flag(f, "ordered");
    check_epoch(promise.epoch, "epoch");
    return promise;
}

Decoded replication_forget_follower(F f) {
    const control::ForgetFollower forget{node_id(f), f.text_or_number("name").value_or("")};
    if (forget.node_id == 0 && forget.name.empty()) {
        refuse_request("Field node_id or name is required");
    }
    return forget;
}

constexpr Bounds checksum_bounds{0, 0xFFFFFFFF};

void check_subscription(const control::Subscribe& subscribe) {
    check_epoch(subscribe.known_epoch, "known_epoch");
    if (subscribe.marks.size() % 2 != 0) {
        refuse_request("Field marks must hold two numbers for each mark");
    }
    for (std::size_t i = 1; i < subscribe.marks.size(); i += 2) {
        if (subscribe.marks[i] > checksum_bounds.high) {
            refuse_request("Field marks must hold checksums of 32 bits");
        }
    }
    if (subscribe.epochs.size() % 3 != 0) {
        refuse_request("Field epochs must hold three numbers for each epoch");
    }
    for (std::size_t i = 0; i < subscribe.epochs.size(); i += 3) {
        check_epoch(subscribe.epochs[i], "epochs");
    }
    if (subscribe.checksum && *subscribe.checksum > checksum_bounds.high) {
        refuse_request("Field checksum must have 32 bits");
    }
}

Decoded replication_subscribe(F f) {
    control::Subscribe subscribe;
    subscribe.format = f.number("format");
    subscribe.name = f.text("name");
    subscribe.after_lsn = f.number("after_lsn");
    subscribe.checksum = f.nullable_number("checksum");
    subscribe.epochs = f.numbers("epochs");
    subscribe.heartbeat_ms = f.number("heartbeat_ms");
    subscribe.epochs_skipped = f.optional_number("epochs_skipped").value_or(0);
    if (f.has("marks")) {
        subscribe.marks = f.numbers("marks");
    }
    subscribe.database_id = database_id(f);
    subscribe.node_id = node_id(f);
    subscribe.known_epoch = f.optional_number("known_epoch").value_or(0);
    subscribe.known_epoch_id = f.optional_number("known_epoch_id").value_or(0);
    subscribe.is_empty = f.optional_number("empty").value_or(0) != 0;
    subscribe.syncs = f.optional_number("syncs").value_or(0) != 0;
    subscribe.port = port(f);
    subscribe.fails_over = f.optional_number("fails_over").value_or(0) != 0;
    subscribe.stores_lists = f.optional_number("stores_lists").value_or(0) != 0;
    subscribe.order = f.text_or_number("order").value_or("");
    check_subscription(subscribe);
    return subscribe;
}

constexpr OpError not_possible{ErrorCode::replication_error,
                               "this node cannot do it now; the message says why"};

}  // namespace

const OpGroup& replication_ops() {
    static const OpGroup group = {
        .title = "Replication",
        .introduction =
            "How nodes follow each other, and when a follower becomes master, is in "
            "[replication.md](replication.md); what they say to each other, with the ops that only nodes "
            "send, is in [replication-protocol.md](replication-protocol.md).",
        .ops = {
            {.name = "replication.status",
             .summary = "The role of a node, its log, and the nodes that it knows.",
             .fields = {may(field::limit, page_or_none_bounds, "snapshots at most; 0 leaves the list out"),
                        may(field::cursor, "the first page")},
             .reply =
                 "an object: [replication.md](replication.md#watching) explains it. Lists that have no room "
                 "in a reply are left out; with `limit` or `cursor` also `limit`, `cursor` and `next_cursor`",
             .example =
                 {.request = R"({"v":2,"op":"replication.status","limit":0})",
                  .reply =
                      R"({"role":"master","wal_enabled":true,"wal_current_lsn":"…","wal_bytes":"…","last_snapshot_lsn":"…","latest_snapshots":[],"followers":[],"counted_followers":[],"fenced":false,"alarm":null,"database_id":"…","node_id":"…","…":"…"})"},
             .decode = replication_status},
            {.name = "replication.entries",
             .summary = "Events of the log, as requests that have the same effect.",
             .fields = {needs(field::after_lsn), may(field::limit, entries_bounds)},
             .reply = "`entries`: objects with `lsn` and `entry`; `next_lsn`: the `after_lsn` of the next "
                      "request; `source_lsn`: the last event; `truncated_by_bytes`: whether `byte_limit` and "
                      "not `limit` ended it",
             .errors = {{ErrorCode::replication_gap, "events after `after_lsn` are not kept any more"}},
             .example =
                 {.request = R"({"v":2,"op":"replication.entries","after_lsn":1,"limit":1})",
                  .reply =
                      R"({"after_lsn":1,"limit":1,"byte_limit":"…","entries_bytes":"…","truncated_by_bytes":false,"count":1,"source_lsn":"…","entries":[{"lsn":2,"entry":{"v":2,"op":"counter.increment","series":"links","key":42,"bucket":20260505,"value":7}}],"next_lsn":2})"},
             .decode = replication_entries},
            {.name = "replication.position",
             .summary = "Where an event lies in the history of a node. Nodes with the same answer have the "
                        "same history.",
             .fields = {may(field::history_lsn, "the last event")},
             .reply = "`lsn`, `checksum`: of the event, null where it is not known; `first_lsn`, `last_lsn`: "
                      "of what is kept; `epochs`: objects with `epoch` and `first_lsn`",
             .example = {.request = R"({"v":2,"op":"replication.position","lsn":1})",
                         .reply = R"({"lsn":1,"checksum":"…","first_lsn":"…","last_lsn":"…","epochs":[]})"},
             .decode = replication_position},
            {.name = "replication.verify",
             .access = OpAccess::administrative,
             .summary = "Compares the state of a node with that of its followers, or of its master.",
             .reply = "`status`: `equal`; `lsn` and `digest` of the state; `with`: the names of the others",
             .errors = {{ErrorCode::replication_error,
                         "a state differs, and the message names the series, or no other node is there"}},
             .example = {.request = R"({"v":2,"op":"replication.verify"})",
                         .reply = "replication_error: No follower is there to be compared with"},
             .decode = replication_verify},
            {.name = "replication.promote",
             .access = OpAccess::administrative,
             .summary = "Makes a follower the master, with a new epoch.",
             .fields = {may(field::force, "false")},
             .reply = "`role`, `epoch`, `lsn`: where the epoch begins; `without_promise`: followers that did "
                      "not promise",
             .errors = {not_possible},
             .example = {.request = R"({"v":2,"op":"replication.promote"})",
                         .reply = "validation_error: This node is a master already"},
             .decode = replication_promote},
            {.name = "replication.forget_follower",
             .access = OpAccess::administrative,
             .summary = "Takes a follower that will not come back from those whose acknowledgements count.",
             .fields = {may(field::node_id, "null"),
                        may(field::node_name, "null", "its name; this or `node_id` is needed")},
             .reply = "`forgotten`: its node id; `name`",
             .errors = {{ErrorCode::not_found, "there is no such counted follower"}, not_possible},
             .example = {.request = R"({"v":2,"op":"replication.forget_follower","name":"node-b"})",
                         .reply = "not_found: There is no such counted follower"},
             .decode = replication_forget_follower},
            {.name = "replication.fence",
             .access = OpAccess::administrative,
             .ignores_unknown_fields = true,
             .summary = "Tells a node that there is an epoch, and which node began it.",
             .fields = {needs(field::epoch, foreign_epoch), needs(field::epoch_id),
                        may(field::database_id, "not known"),
                        may(field::node_id, "not known", "the id of the node that began it"),
                        may(field::node_name, "not known", "the name of that node"),
                        may(field::host, "where the request comes from"), may(field::port, port_bounds)},
             .reply = "`role` of the node that is asked, `epoch` and `epoch_id`: the latest that it knows",
             .errors = {not_possible},
             .decode = replication_fence},
            {.name = "replication.promise",
             .access = OpAccess::administrative,
             .ignores_unknown_fields = true,
             .summary = "A follower that wants to become master asks another one not to follow anybody else.",
             .fields = {may(field::epoch, foreign_epoch_or_none,
                            "the epoch that it wants to begin; 0: it only asks"),
                        may(field::epoch_id, from_zero), may(field::database_id, "not known"),
                        may(field::node_id, "not known", "the id of the node that asks"),
                        may(field::silence, from_zero), may(field::ordered, "false")},
             .reply = "`promised`, or `reason`; `epoch`, `epoch_id`: the latest that the node knows; "
                      "`last_epoch`, `last_epoch_id`, `lsn`: how far its history goes; `node_id`",
             .errors = {not_possible},
             .decode = replication_promise},
            {.name = "replication.subscribe",
             .access = OpAccess::administrative,
             .ignores_unknown_fields = true,
             .summary = "Turns the connection into a stream of events to a follower.",
             .fields = {needs(field::format), needs(field::node_name, "the name of the follower, for people"),
                        needs(field::after_lsn, "the follower has the events up to here"),
                        may(field::checksum, checksum_bounds), needs(field::epochs),
                        may(field::epochs_skipped, from_zero), may(field::marks, "none"),
                        needs(field::heartbeat), may(field::database_id, "not known"),
                        may(field::node_id, "not known", "the id of the follower"),
                        may(field::known_epoch, foreign_epoch_or_none), may(field::known_epoch_id, from_zero),
                        may(field::is_empty, from_zero), may(field::syncs, from_zero),
                        may(field::port, port_bounds), may(field::fails_over, from_zero),
                        may(field::stores_lists, from_zero), may(field::order, "none")},
             .reply = "the frames of [replication-protocol.md](replication-protocol.md)",
             .errors = {not_possible},
             .decode = replication_subscribe},
        }};
    return group;
}

}  // namespace karma::net
