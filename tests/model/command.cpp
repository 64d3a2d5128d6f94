#include "tests/model/command.h"

#include <functional>
#include <limits>
#include <map>

namespace karma::test::model {

namespace {

[[noreturn]] void refuse(const char* code = "validation_error") { throw Refusal{code}; }

std::uint64_t number(const json::value& value) {
    if (value.is_uint64()) return value.get_uint64();
    if (!value.is_int64() || value.get_int64() < 0) refuse();
    return static_cast<std::uint64_t>(value.get_int64());
}

bool is_big_integer(const json::value& value) {
    return value.is_string() && value.get_string().starts_with("integer beyond 64 bits: ");
}

Day day_number(const json::value& value) {
    const std::uint64_t day = number(value);
    if (!is_calendar_day(day)) refuse();
    return static_cast<Day>(day);
}

Day day(const json::value& value) {
    if (!value.is_string()) return day_number(value);
    std::string digits(value.get_string());
    if (digits.size() == 10 && digits[4] == '-' && digits[7] == '-')
        digits = digits.substr(0, 4) + digits.substr(5, 2) + digits.substr(8);
    if (digits.size() != 8 || digits.find_first_not_of("0123456789") != std::string::npos) refuse();
    return day_number(json::value(std::stoull(digits)));
}

// The fields of one request, each by its name.
class Reader {
public:
    Reader(const json::object& object, Command& command) : object_(object), to_(command) {}

    void series() {
        const json::value* value = object_.if_contains("series");
        if (value == nullptr) value = object_.if_contains("tree");
        to_.series = filled_text(value);
    }
    void key() { to_.key = number(required("key")); }
    void value() { to_.value = value_of(object_); }
    void bucket() { to_.day = bucket_of(object_); }
    void before_day() {
        const json::value* given = object_.if_contains("before");
        if (given == nullptr) given = object_.if_contains("date");
        if (given == nullptr) refuse();
        to_.day = day(*given);
    }
    void range() {
        const json::value& given = required("range");
        if (!given.is_object()) refuse();
        const json::value* const from = given.get_object().if_contains("from");
        const json::value* const to = given.get_object().if_contains("to");
        if (from == nullptr || to == nullptr) refuse();
        to_.range = Range{day_number(*from), day_number(*to)};
        if (to_.range->from > to_.range->to) refuse();
    }
    void optional_range() {
        if (object_.contains("range")) range();
    }
    void items(std::uint64_t least) {
        for (const json::value& given : array("items")) {
            if (!given.is_array() || given.get_array().size() != 3) refuse();
            const json::array& parts = given.get_array();
            to_.items.push_back({number(parts[0]), day(parts[1]), number(parts[2])});
            if (to_.items.back().value < least) refuse();
        }
    }
    void keys() {
        for (const json::value& given : array("keys")) to_.keys.push_back(number(given));
    }
    void series_keys() {
        for (const json::value& given : array("items")) {
            if (!given.is_object()) refuse();
            to_.series_keys.push_back(series_key_of(given.get_object()));
        }
    }
    void series_items() {
        for (const json::value& given : array("items")) {
            if (!given.is_object()) refuse();
            const json::object& point = given.get_object();
            const auto [series, key] = series_key_of(point);
            to_.series_items.push_back({series, {key, bucket_of(point), value_of(point)}});
        }
        if (to_.series_items.empty()) refuse();
    }
    void limit(std::uint64_t otherwise, std::uint64_t most) {
        const json::value* const given = object_.if_contains("limit");
        to_.limit = given == nullptr ? otherwise : number(*given);
        if (to_.limit == 0 || to_.limit > most) refuse();
    }
    std::optional<std::uint64_t> nullable(const char* name) {
        const json::value* const given = object_.if_contains(name);
        if (given == nullptr || given->is_null()) return std::nullopt;
        return number(*given);
    }
    std::optional<std::uint64_t> optional(const char* name) {
        const json::value* const given = object_.if_contains(name);
        if (given == nullptr) return std::nullopt;
        return number(*given);
    }
    std::string text(const char* name) { return filled_text(&required(name)); }
    // A string or an integer.
    std::optional<std::string> text_or_number(const char* name) {
        const json::value* const given = object_.if_contains(name);
        if (given == nullptr || given->is_null()) return std::nullopt;
        if (given->is_int64()) return std::to_string(given->get_int64());
        if (given->is_uint64()) return std::to_string(given->get_uint64());
        if (is_big_integer(*given)) refuse();
        return filled_text(given);
    }
    void as_of() {
        const json::value* const given = object_.if_contains("as_of");
        if (given == nullptr || given->is_null()) return;
        AsOf point;
        if (!given->is_string() || is_big_integer(*given)) {
            point.lsn = is_big_integer(*given) ? (refuse(), 0) : number(*given);
        } else {
            const std::string text(given->get_string());
            if (!text.empty() && text.size() < 19 &&
                text.find_first_not_of("0123456789") == std::string::npos)
                point.lsn = std::stoull(text);
            else if (read_time(text, point.time, true))
                point.is_time = true;
            else
                refuse();
        }
        to_.as_of = point;
    }
    std::optional<std::int64_t> time(const char* name) {
        const json::value* const given = object_.if_contains(name);
        if (given == nullptr || given->is_null()) return std::nullopt;
        if (given->is_string() && !is_big_integer(*given)) {
            std::int64_t seconds = 0;
            if (!read_time(given->get_string(), seconds, name == std::string_view("to"))) refuse();
            return seconds;
        }
        if (is_big_integer(*given)) refuse();
        return static_cast<std::int64_t>(std::min<std::uint64_t>(number(*given), 1ULL << 62U));
    }
    void prune() {
        if (!object_.contains("before") || object_.at("before").is_null()) refuse();
        to_.before = *time("before");
        to_.prune_limit = optional("limit");
        if (to_.prune_limit && *to_.prune_limit == 0) refuse();
    }
    void prune_streams() {
        if (!object_.contains("before") || object_.at("before").is_null()) refuse();
        to_.before = *time("before");
        limit(1'000, 10'000);
        to_.prune_limit = to_.limit;
    }
    void begin() {
        to_.stream_id = text("stream_id");
        to_.mode = text("mode");
        if (to_.mode != "add" && to_.mode != "set" && to_.mode != "replace_series") refuse();
        if (to_.stream_id.starts_with("snapshot.load/")) refuse();
        if (const json::value* const given = object_.if_contains("granularity");
            given != nullptr && !given->is_null()) {
            const std::string text = filled_text(given);
            if (text != "day" && (!text.starts_with("day;") || text.size() > 128)) refuse();
            to_.granularity = text;
        }
    }
    void chunk() {
        series();
        to_.stream_id = text("stream_id");
        to_.chunk_seq = number(required("chunk_seq"));
        if (to_.chunk_seq == 0) refuse();
        items(0);
    }
    void checkpoint() {
        to_.source = text("source");
        to_.offset = text_or_number("offset");
        if (!to_.offset) to_.offset = text_or_number("source_offset");
        to_.event_id = text_or_number("event_id");
        if (!to_.offset && !to_.event_id) refuse();
    }
    void reconciliation() {
        const std::uint64_t checked = number(required("checked_points"));
        const std::uint64_t mismatches = number(required("mismatch_count"));
        optional("absolute_drift");
        optional("max_abs_delta");
        if (mismatches > checked) refuse();
    }
    void event_list() {
        to_.cursor = nullable("after_lsn");
        limit(100, 10'000);
        if (object_.contains("series") || object_.contains("tree")) series();
        to_.event_key = nullable("key");
        if (to_.event_key && to_.series.empty()) refuse();
        to_.from_time = time("from");
        to_.to_time = time("to");
    }
    void file() {
        to_.file = text("file");
        if (to_.file.find('/') != std::string::npos || to_.file.find('\0') != std::string::npos) refuse();
        if (!to_.file.ends_with(".tree")) refuse();
    }
    void idempotency() {
        to_.idempotency_key = text_or_number("idempotency_key");
        if (!to_.idempotency_key) return;
        if (to_.idempotency_key->size() > 256) refuse();
        const json::value* const given = object_.if_contains("fingerprint");
        if (given == nullptr || given->is_null()) return;
        to_.fingerprint = filled_text(given);
        if (to_.fingerprint.size() > 512) refuse();
    }

private:
    static std::string filled_text(const json::value* value) {
        if (value == nullptr || !value->is_string() || is_big_integer(*value) || value->get_string().empty())
            refuse();
        return std::string(value->get_string());
    }
    static std::pair<std::string, std::uint64_t> series_key_of(const json::object& object) {
        const json::value* series = object.if_contains("series");
        if (series == nullptr) series = object.if_contains("tree");
        const std::string name = filled_text(series);
        const json::value* const key = object.if_contains("key");
        if (key == nullptr) refuse();
        return {name, number(*key)};
    }
    static std::uint64_t value_of(const json::object& object) {
        const json::value* const given = object.if_contains("value");
        const std::uint64_t value = given == nullptr ? 1 : number(*given);
        if (value == 0) refuse();
        return value;
    }
    static Day bucket_of(const json::object& object) {
        const json::value* given = object.if_contains("bucket");
        if (given == nullptr) given = object.if_contains("date");
        return given == nullptr ? utc_day(unix_now()) : day(*given);
    }
    const json::value& required(const char* name) {
        const json::value* const value = object_.if_contains(name);
        if (value == nullptr) refuse();
        return *value;
    }
    const json::array& array(const char* name) {
        const json::value& value = required(name);
        if (!value.is_array()) refuse();
        return value.get_array();
    }

    const json::object& object_;
    Command& to_;
};

enum class Kind { read, write, keyed_write };

struct Op {
    Kind kind;
    std::function<void(Reader&, Command&)> read;
};

const std::map<std::string, Op, std::less<>>& all_ops() {
    using R = Reader;
    using C = Command;
    const auto nothing = [](R&, C&) {};
    const auto series = [](R& r, C&) { r.series(); };
    const auto point = [](R& r, C&) { r.series(), r.key(), r.bucket(), r.value(); };
    const auto stream = [](R& r, C& c) { c.stream_id = r.text("stream_id"); };
    const auto chunk_of_file = [](R& r, C& c) {
        c.cursor = r.optional("offset");
        r.limit(262'144, 1'048'576);
    };
    static const std::map<std::string, Op, std::less<>> ops{
        {"system.ping", {Kind::read, nothing}},
        {"system.health", {Kind::read, nothing}},
        {"system.stats", {Kind::read, nothing}},
        {"system.metrics", {Kind::read, nothing}},
        {"system.compact", {Kind::write, nothing}},
        {"tree.create", {Kind::write, series}},
        {"tree.drop", {Kind::write, series}},
        {"tree.list", {Kind::read, nothing}},
        {"tree.info", {Kind::read, series}},
        {"tree.keys",
         {Kind::read, [](R& r, C& c) { r.series(), r.limit(100, 10'000), c.cursor = r.nullable("cursor"); }}},
        {"tree.top",
         {Kind::read, [](R& r, C&) { r.series(), r.limit(50, 1'000), r.optional_range(), r.as_of(); }}},
        {"tree.summary", {Kind::read, [](R& r, C&) { r.series(), r.optional_range(), r.as_of(); }}},
        {"tree.series", {Kind::read, [](R& r, C&) { r.series(), r.range(); }}},
        {"tree.reset", {Kind::keyed_write, series}},
        {"tree.delete_range", {Kind::keyed_write, [](R& r, C&) { r.series(), r.range(); }}},
        {"counter.increment", {Kind::keyed_write, point}},
        {"counter.decrement", {Kind::keyed_write, point}},
        {"counter.sum", {Kind::read, [](R& r, C&) { r.series(), r.key(), r.optional_range(), r.as_of(); }}},
        {"counter.series", {Kind::read, [](R& r, C&) { r.series(), r.key(), r.range(), r.as_of(); }}},
        {"counter.batch_sum",
         {Kind::read, [](R& r, C&) { r.series(), r.keys(), r.optional_range(), r.as_of(); }}},
        {"counter.multi_sum", {Kind::read, [](R& r, C&) { r.series_keys(), r.optional_range(); }}},
        {"counter.multi_add", {Kind::keyed_write, [](R& r, C&) { r.series_items(); }}},
        {"counter.reset", {Kind::keyed_write, [](R& r, C&) { r.series(), r.key(); }}},
        {"counter.batch_reset", {Kind::keyed_write, [](R& r, C&) { r.series(), r.keys(); }}},
        {"counter.delete_range", {Kind::keyed_write, [](R& r, C&) { r.series(), r.key(), r.range(); }}},
        {"counter.batch_delete_range",
         {Kind::keyed_write, [](R& r, C&) { r.series(), r.keys(), r.range(); }}},
        {"series.batch_add", {Kind::keyed_write, [](R& r, C&) { r.series(), r.items(1); }}},
        {"series.batch_set", {Kind::keyed_write, [](R& r, C&) { r.series(), r.items(0); }}},
        {"series.delete_before", {Kind::write, [](R& r, C&) { r.series(), r.before_day(); }}},
        {"series.compact", {Kind::write, series}},
        {"ingest.begin", {Kind::write, [](R& r, C&) { r.begin(); }}},
        {"ingest.chunk", {Kind::write, [](R& r, C&) { r.chunk(); }}},
        {"ingest.commit", {Kind::write, stream}},
        {"ingest.abort", {Kind::write, stream}},
        {"ingest.prune", {Kind::write, [](R& r, C&) { r.prune_streams(); }}},
        {"snapshot.create", {Kind::write, series}},
        {"snapshot.create_all", {Kind::write, nothing}},
        {"snapshot.list", {Kind::read, nothing}},
        {"snapshot.info", {Kind::read, nothing}},
        {"snapshot.load", {Kind::write, [](R& r, C&) { r.file(); }}},
        {"snapshot.fetch", {Kind::read, [](R& r, C&) { r.file(); }}},
        {"snapshot.fetch_chunk",
         {Kind::read, [chunk_of_file](R& r, C& c) { r.file(), chunk_of_file(r, c); }}},
        {"snapshot.verify", {Kind::read, nothing}},
        {"recovery.checkpoint", {Kind::write, [](R& r, C&) { r.checkpoint(); }}},
        {"recovery.status",
         {Kind::read,
          [](R& r, C& c) {
              if (c.request.contains("source")) c.source = r.text("source");
          }}},
        {"reconciliation.report", {Kind::write, [](R& r, C&) { r.reconciliation(); }}},
        {"replication.status", {Kind::read, nothing}},
        {"replication.entries",
         {Kind::read,
          [](R& r, C& c) {
              c.cursor = r.optional("after_lsn");
              if (!c.cursor) refuse();
              r.limit(1'000, 10'000);
          }}},
        {"event.list", {Kind::read, [](R& r, C&) { r.event_list(); }}},
        {"idempotency.prune", {Kind::write, [](R& r, C&) { r.prune(); }}},
        {"idempotency.snapshot_fetch_chunk", {Kind::read, chunk_of_file}},
    };
    return ops;
}

const std::map<std::string, std::string, std::less<>> aliases{
    {"series.increment", "counter.increment"},
    {"series.sum", "counter.sum"},
    {"series.points", "counter.series"},
    {"series.batch_sum", "counter.batch_sum"},
    {"counter.batch_increment", "series.batch_add"},
    {"tree.delete_before", "series.delete_before"},
    {"tree.compact", "series.compact"},
};

// The lines that a fingerprint is made of.
class Lines {
public:
    explicit Lines(const char* command) { text("command", command); }
    void text(const char* name, const std::string& value) {
        add(name, "s:" + std::to_string(value.size()) + ":" + value);
    }
    void number(const char* name, std::uint64_t value) { add(name, "u:" + std::to_string(value)); }
    void count(const char* name, std::size_t value) { add(name, "i:" + std::to_string(value)); }
    void none(const char* name) { add(name, "n"); }
    void items(const std::vector<Item>& items) {
        count("items_count", items.size());
        for (const Item& item : items) {
            number("item_key", item.key);
            number("item_bucket", item.day);
            number("item_value", item.value);
        }
    }
    void series_items(const std::vector<SeriesItem>& items) {
        count("items_count", items.size());
        for (const SeriesItem& of : items) {
            text("item_series", of.series);
            number("item_key", of.item.key);
            number("item_bucket", of.item.day);
            number("item_value", of.item.value);
        }
    }
    void keys(const std::vector<std::uint64_t>& keys) {
        count("keys_count", keys.size());
        for (const std::uint64_t key : keys) number("key_value", key);
    }
    void range(const Range& range) {
        number("range_from", range.from);
        number("range_to", range.to);
    }
    std::string take() { return std::move(lines_); }

private:
    void add(const char* name, const std::string& rest) { (lines_ += name) += ":" + rest + "\n"; }
    std::string lines_;
};

const std::map<std::string, const char*, std::less<>> fingerprint_names{
    {"counter.increment", "increment"},
    {"counter.decrement", "decrement"},
    {"series.batch_add", "batch_add"},
    {"series.batch_set", "batch_set"},
    {"counter.multi_add", "multi_add"},
    {"counter.reset", "reset"},
    {"tree.reset", "reset"},
    {"counter.batch_reset", "batch_reset"},
    {"counter.batch_delete_range", "batch_delete_range"},
    {"counter.delete_range", "delete"},
    {"tree.delete_range", "delete"},
    {"ingest.chunk", "ingest_chunk"},
};

json::array items_json(const std::vector<Item>& items) {
    json::array array;
    for (const Item& item : items) array.push_back(json::array{item.key, item.day, item.value});
    return array;
}

json::array items_json(const std::vector<SeriesItem>& items) {
    json::array array;
    for (const SeriesItem& of : items)
        array.push_back(
            {{"series", of.series}, {"key", of.item.key}, {"bucket", of.item.day}, {"value", of.item.value}});
    return array;
}

json::object range_json(const Range& range) { return {{"from", range.from}, {"to", range.to}}; }

}  // namespace

Command read_command(const json::value& request) {
    if (!request.is_object()) refuse();
    Command command;
    command.request = request.get_object();
    const json::value* const version = command.request.if_contains("v");
    if (version == nullptr || !version->is_int64() || version->get_int64() != 2)
        refuse("unsupported_protocol");
    const json::value* const name = command.request.if_contains("op");
    if (name == nullptr || !name->is_string()) refuse();
    command.op = std::string(name->get_string());
    if (const auto alias = aliases.find(command.op); alias != aliases.end()) command.op = alias->second;
    const auto op = all_ops().find(command.op);
    if (op == all_ops().end()) refuse("unknown_command");
    command.is_write = op->second.kind != Kind::read;
    Reader reader(command.request, command);
    op->second.read(reader, command);
    if (op->second.kind == Kind::keyed_write) reader.idempotency();
    return command;
}

std::string payload_of(const Command& command) {
    Lines lines(fingerprint_names.at(command.op));
    if (command.op == "counter.multi_add") {
        lines.series_items(command.series_items);
        return lines.take();
    }
    if (command.op == "ingest.chunk") lines.text("stream_id", command.stream_id);
    lines.text("series", command.series);
    if (command.op == "counter.increment" || command.op == "counter.decrement") {
        lines.number("key", command.key);
        lines.number("bucket", command.day);
        lines.number("value", command.value);
    } else if (command.op == "series.batch_add" || command.op == "series.batch_set") {
        lines.items(command.items);
    } else if (command.op == "ingest.chunk") {
        lines.number("chunk_seq", command.chunk_seq);
        lines.items(command.items);
    } else if (command.op.starts_with("counter.batch_")) {
        lines.keys(command.keys);
    } else if (command.op.starts_with("tree.")) {
        lines.none("key");
    } else {
        lines.number("key", command.key);
    }
    if (command.range) lines.range(*command.range);
    return lines.take();
}

json::object entry_of(const Command& command) {
    const std::string& op = command.op;
    json::object entry{{"v", 2}, {"op", op}};
    if (op.starts_with("ingest.") && op != "ingest.prune") entry["stream_id"] = command.stream_id;
    if (!command.series.empty()) entry["series"] = command.series;
    if (op == "counter.increment" || op == "counter.decrement" || op == "counter.reset" ||
        op == "counter.delete_range")
        entry["key"] = command.key;
    if (op == "counter.increment" || op == "counter.decrement") {
        entry["bucket"] = command.day;
        entry["value"] = command.value;
    }
    if (op == "series.batch_add" || op == "series.batch_set") entry["granularity"] = "day";
    if (op == "series.batch_add" || op == "series.batch_set" || op == "ingest.chunk")
        entry["items"] = items_json(command.items);
    if (op == "counter.multi_add") entry["items"] = items_json(command.series_items);
    if (op == "ingest.chunk") entry["chunk_seq"] = command.chunk_seq;
    if (op.starts_with("counter.batch_"))
        entry["keys"] = json::array(command.keys.begin(), command.keys.end());
    if (command.range) entry["range"] = range_json(*command.range);
    if (op == "series.delete_before") entry["before"] = command.day;
    if (op == "ingest.begin") {
        entry["mode"] = command.mode;
        if (command.granularity) entry["granularity"] = *command.granularity;
    }
    if (op == "recovery.checkpoint") {
        entry["source"] = *command.source;
        if (command.offset) entry["offset"] = *command.offset;
        if (command.event_id) entry["event_id"] = *command.event_id;
    }
    if (op == "idempotency.prune" || op == "ingest.prune") {
        if (command.before >= 0 && command.before < (1LL << 40U))
            entry["before"] = command.before;
        else
            entry["before"] = json::value(nullptr);  // the model puts `instant()` there
        if (command.prune_limit) entry["limit"] = *command.prune_limit;
    }
    if (command.idempotency_key) entry["idempotency_key"] = *command.idempotency_key;
    return entry;
}

}  // namespace karma::test::model
