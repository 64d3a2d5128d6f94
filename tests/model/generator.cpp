#include "tests/model/generator.h"

#include <algorithm>
#include <limits>

#include <boost/json/serialize.hpp>

namespace karma::test::model {

namespace {

const std::vector<std::string> series_names{
    "a",    "links", "a/b", "a%2Fb",        "\xd1\x81\xd0\xb5\xd1\x80-\xe2\x9c\x93",
    "q\"u", ".dot",  "s p", "x\\y\n\x7f\t", "_1_.tree"};
const std::vector<std::string> stream_ids{"s1", "s2", "s3", "s/4", "\xe2\x9c\x93"};
const std::vector<std::uint64_t> days{20260505, 20260506, 20260507, 20260510, 20260228, 20240229,
                                      20200229, 10101,    10102,    99991231, 99991230, 20251231};
const std::vector<std::uint64_t> no_days{0, 1, 20260230, 20261301, 20250229, 100000101, 19000229, 99991232};
const std::vector<std::uint64_t> large_keys{value_max, value_max - 1, value_max / 2, value_max / 2 + 1,
                                            4294967296};

}  // namespace

std::string Generator::series() {
    return prefix_ + (once_in(3) && prefix_.empty() ? one_of(series_names) : series_names[between(0, 2)]);
}

std::uint64_t Generator::key() { return once_in(6) ? one_of(large_keys) : between(0, taste_.keys - 1); }

std::uint64_t Generator::value() {
    if (!once_in(8)) return between(1, 9);
    static const std::vector<std::uint64_t> extremes{value_max,         value_max - 1,     value_max / 2,
                                                     value_max / 2 + 1, value_max / 2 + 2, value_max - 9,
                                                     9007199254740993,  4294967296};
    return one_of(extremes);
}

std::uint64_t Generator::day_number() { return one_of(days); }

json::value Generator::day() {
    const std::uint64_t day = day_number();
    if (!once_in(6) || day < 10000000) return day;
    std::string text = std::to_string(day);
    if (once_in(2)) text = text.substr(0, 4) + "-" + text.substr(4, 2) + "-" + text.substr(6);
    return json::value(text);
}

json::object Generator::range() {
    std::uint64_t from = day_number();
    std::uint64_t to = day_number();
    if (from > to) std::swap(from, to);
    if (once_in(4)) from = 10101;
    if (once_in(4)) to = 99991231;
    return {{"from", from}, {"to", to}};
}

json::array Generator::items(bool zero, const Model& model) {
    json::array items;
    const std::uint64_t count = once_in(12) ? 0 : between(1, taste_.batch_items);
    for (std::uint64_t i = 0; i < count; ++i)
        items.push_back(json::array{key(), day(), zero && once_in(4) ? 0 : value()});
    // The same bucket again, and values whose sum on the way is what does not fit in 64 bits.
    if (!items.empty() && once_in(3)) {
        json::array again = items.back().as_array();
        again[2] = zero && once_in(2) ? 0 : value();
        items.push_back(again);
    }
    if (zero && once_in(5)) {
        const std::uint64_t of = once_in(2) ? key() : between(0, 3);
        const std::uint64_t first = day_number();
        items.push_back(json::array{of, first, value_max / 2});
        items.push_back(json::array{of, 20260508, value_max / 2 + 1});
        items.push_back(json::array{of, 20260509, 1});
        items.push_back(json::array{of, first, once_in(3) ? 1 : 0});
    }
    static_cast<void>(model);
    return items;
}

// Of several series or of one, the same point twice, and a value for which one of them has no room.
json::array Generator::series_items(const std::string& name) {
    json::array items;
    for (std::uint64_t i = once_in(20) ? 0 : between(1, taste_.batch_items); i > 0; --i) {
        json::object item{{once_in(4) ? "tree" : "series", once_in(2) ? name : series()}, {"key", key()}};
        item[once_in(4) ? "date" : "bucket"] = day();
        if (!once_in(4)) item["value"] = value();
        items.emplace_back(std::move(item));
    }
    if (!items.empty() && once_in(3)) items.push_back(items.front());
    return items;
}

json::array Generator::keys() {
    json::array keys;
    const std::uint64_t count = once_in(10) ? 0 : between(1, 6);
    for (std::uint64_t i = 0; i < count; ++i) keys.push_back(key());
    if (!keys.empty() && once_in(4)) keys.push_back(keys.front());
    return keys;
}

void Generator::maybe_key(json::object& request, const Model& model) {
    if (!once_in(4)) return;
    const auto& records = *model.state().records;
    if (!records.empty() && once_in(3) && prefix_.empty()) {  // a repeat, perhaps with something else in it
        const Record& record = records[between(0, records.size() - 1)];
        const bool is_same = !once_in(4);
        if (is_same)
            request = record.request;
        else
            request["idempotency_key"] = record.key;
        return;
    }
    const std::uint64_t number = between(1, 400);
    if (once_in(5) && prefix_.empty())
        request["idempotency_key"] = number;
    else
        request["idempotency_key"] =
            prefix_ + "k" + std::to_string(number) + (once_in(30) ? std::string(252, 'x') : "");
    if (once_in(6)) request["fingerprint"] = "wrong";
    if (once_in(6)) {
        try {
            const Command command = read_command(request);
            if (command.idempotency_key) request["fingerprint"] = sha256(payload_of(command));
        } catch (const Refusal&) {
            // The fingerprint is not looked at.
        }
    }
}

json::object Generator::write(const Model& model) {
    json::object r{{"v", 2}};
    const std::string name = series();
    switch (between(0, 17)) {
        case 0:
        case 1:
        case 2:
            r["op"] = once_in(4) ? "series.increment" : "counter.increment";
            r["key"] = key();
            r[once_in(4) ? "date" : "bucket"] = day();
            if (!once_in(4)) r["value"] = value();
            if (once_in(20) && unix_now() % 86400 > 120 && unix_now() % 86400 < 86280) {
                r.erase("bucket");
                r.erase("date");
            }
            break;
        case 3:
        case 4:
            r["op"] = "counter.decrement";
            r["key"] = key();
            r["bucket"] = day();
            r["value"] = value();
            break;
        case 5:
        case 6:
            r["op"] = once_in(4) ? "counter.batch_increment" : "series.batch_add";
            r["items"] = items(false, model);
            break;
        case 7:
        case 8:
            r["op"] = "series.batch_set";
            r["items"] = items(true, model);
            break;
        case 9:
            r["op"] = once_in(3) ? "tree.reset" : "counter.reset";
            if (r["op"] == "counter.reset") r["key"] = key();
            break;
        case 10:
            r["op"] = "counter.batch_reset";
            r["keys"] = keys();
            break;
        case 11:
            r["op"] = "counter.batch_delete_range";
            r["keys"] = keys();
            r["range"] = range();
            break;
        case 12:
            r["op"] = once_in(4) ? "tree.delete_range" : "counter.delete_range";
            if (r["op"] == "counter.delete_range") r["key"] = key();
            r["range"] = range();
            break;
        case 13:
            r["op"] = once_in(2) ? "series.delete_before" : "tree.delete_before";
            r[once_in(2) ? "before" : "date"] = day();
            break;
        case 14:
            r["op"] = once_in(2) ? "series.compact" : once_in(2) ? "tree.compact" : "system.compact";
            break;
        case 15: r["op"] = once_in(3) ? "tree.drop" : "tree.create"; break;
        default:
            r["op"] = "counter.multi_add";
            r["items"] = series_items(name);
            break;
    }
    if (r["op"] != "counter.multi_add") r[once_in(5) ? "tree" : "series"] = name;
    maybe_key(r, model);
    return r;
}

json::object Generator::read(const Model& model) {
    json::object r{{"v", 2}};
    const std::string name = series();
    static const std::vector<std::string> ops{
        "counter.sum",       "series.sum", "counter.series", "series.points",  "counter.batch_sum",
        "series.batch_sum",  "tree.top",   "tree.summary",   "tree.series",    "tree.keys",
        "counter.multi_sum", "tree.info",  "tree.list",      "recovery.status"};
    const std::string& op = one_of(ops);
    r["op"] = op;
    r[once_in(5) ? "tree" : "series"] = name;
    const bool points = op == "counter.series" || op == "series.points";
    if (op.ends_with(".sum") || points) r["key"] = key();
    if (op.ends_with("batch_sum")) r["keys"] = keys();
    if (points || op == "tree.series" || once_in(3)) r["range"] = range();
    if ((op == "tree.top" || op == "tree.keys") && !once_in(4))
        r["limit"] = between(1, once_in(3) ? 1000 : 5);
    if (op == "tree.keys" && once_in(2)) r["cursor"] = once_in(4) ? json::value(nullptr) : json::value(key());
    if (op == "counter.multi_sum") {
        json::array items;
        for (std::uint64_t i = between(0, 3); i > 0; --i)
            items.push_back({{once_in(4) ? "tree" : "series", series()}, {"key", key()}});
        r["items"] = std::move(items);
    }
    if (op == "recovery.status" && once_in(2)) r["source"] = "queue" + std::to_string(between(1, 4));
    if (once_in(6) && op != "tree.series" && op != "counter.multi_sum") {
        static const std::vector<std::string> times{"2001-01-01T00:00:00Z", "2100-01-01T00:00:00Z",
                                                    "2001-01-01", "2100-01-01", "1969-12-31T23:59:59+02:00"};
        const std::uint64_t lsn = model.state().lsn;
        switch (between(0, 9)) {
            case 0: r["as_of"] = value_max; break;
            case 1: r["as_of"] = lsn + between(0, 2); break;
            case 2: r["as_of"] = one_of(times); break;
            case 3: r["as_of"] = std::to_string(between(0, lsn)); break;
            case 4: r["as_of"] = 0; break;
            default: r["as_of"] = between(0, lsn); break;
        }
    }
    return r;
}

json::object Generator::ingest(const Model& model) {
    json::object r{{"v", 2}};
    std::string id = prefix_ + (once_in(4) ? "t" + std::to_string(between(1, 60)) : one_of(stream_ids));
    const auto& streams = *model.state().streams;
    if (!streams.empty() && prefix_.empty() && once_in(2)) {
        const auto any =
            std::next(streams.begin(), static_cast<std::ptrdiff_t>(between(0, streams.size() - 1)));
        if (any->first.find(' ') == std::string::npos) id = any->first;  // none of a burst's
    }
    if (prefix_.empty() && once_in(40)) {
        r["op"] = "ingest.prune";
        r["before"] = once_in(3) ? json::value("2001-01-01") : json::value(4102444800);
        if (once_in(3)) r["limit"] = once_in(4) ? between(10'000, 10'001) : between(1'000, 10'000);
        return r;
    }
    const auto known = streams.find(id);
    r["stream_id"] = id;
    const std::uint64_t kind = between(0, 9);
    if (known == streams.end() || kind == 0) {
        static const std::vector<std::string> modes{"add", "set", "replace_series"};
        r["op"] = "ingest.begin";
        r["mode"] = known != streams.end() && !once_in(3) ? known->second.mode : one_of(modes);
        if (once_in(3)) r["granularity"] = once_in(2) ? "day" : once_in(2) ? "day;a" : "day;b";
        if (known != streams.end() && once_in(2)) r = known->second.begin;
        return r;
    }
    if (kind <= 6) {
        r["op"] = "ingest.chunk";
        r["series"] = known->second.series && !once_in(12) ? *known->second.series : series();
        const std::uint64_t last = known->second.chunks.size();
        r["chunk_seq"] = once_in(5) ? between(1, last + 3) : last + 1;
        // Few different chunks, so that the same one comes again.
        if (once_in(2)) {
            r["items"] = json::array{json::array{1, 20260505, as_number(r["chunk_seq"])}};
        } else {
            r["items"] = items(known->second.mode != "add" || once_in(10), model);
        }
        return r;
    }
    r["op"] = once_in(3) ? "ingest.abort" : "ingest.commit";
    return r;
}

json::object Generator::snapshot(const Model& model) {
    json::object r{{"v", 2}};
    const auto files = model.loadable();
    const std::uint64_t kind = between(0, 9);
    if (kind <= 1 && !files.empty()) {
        r["op"] = "snapshot.load";
        r["file"] = once_in(10) ? "1_nothing.tree" : one_of(files)->file;
    } else if (kind <= 3 && !files.empty()) {
        r["op"] = once_in(2) ? "snapshot.fetch" : "snapshot.fetch_chunk";
        r["file"] = once_in(10) ? "1_nothing.tree" : one_of(files)->file;
        if (r["op"] == "snapshot.fetch_chunk") {
            r["offset"] = between(0, 20);
            r["limit"] = between(1, 300);
        }
    } else if (kind == 4) {
        r["op"] = once_in(2) ? "snapshot.list" : "snapshot.info";
    } else if (kind == 5) {
        r["op"] = "snapshot.verify";
    } else if (kind == 6) {
        r["op"] = "snapshot.create_all";
    } else {
        r["op"] = "snapshot.create";
        r["series"] = series();
    }
    return r;
}

json::object Generator::history(const Model& model) {
    json::object r{{"v", 2}};
    const std::uint64_t lsn = model.state().lsn;
    const std::uint64_t near = lsn > 60 ? lsn - 60 : 0;
    const std::uint64_t after = once_in(8) ? between(0, lsn + 3) : between(near, lsn);
    if (once_in(3)) {
        r["op"] = "replication.entries";
        r["after_lsn"] = after;
        r["limit"] = between(1, 100);
        return r;
    }
    r["op"] = "event.list";
    if (!once_in(8)) r["after_lsn"] = after;
    if (once_in(2)) r["limit"] = between(1, 200);
    if (once_in(3)) {
        r["series"] = series();
        if (once_in(2)) r["key"] = key();
    }
    if (once_in(8)) r["from"] = once_in(2) ? json::value(0) : json::value("2100-01-01");
    if (once_in(8)) r["to"] = once_in(2) ? json::value(99999999999) : json::value("2001-01-01");
    return r;
}

json::object Generator::rare(const Model& model) {
    json::object r{{"v", 2}};
    static const std::vector<std::string> plain{"system.ping", "system.health", "system.stats",
                                                "system.metrics", "replication.status"};
    static_cast<void>(model);
    switch (between(0, 6)) {
        case 0:
        case 1:
            r["op"] = "recovery.checkpoint";
            r["source"] = "queue" + std::to_string(between(1, 4));
            if (once_in(2))
                r["offset"] = once_in(2) ? json::value(value()) : json::value("o-" + std::to_string(key()));
            if (!r.contains("offset") || once_in(3))
                r["event_id"] = once_in(2) ? json::value(key()) : json::value("e");
            if (once_in(4)) {
                r["source_offset"] = "so";
                r.erase("offset");
            }
            break;
        case 2:
            r["op"] = "reconciliation.report";
            r["checked_points"] = between(0, 9);
            r["mismatch_count"] = between(0, 9);
            break;
        case 3:
            r["op"] = "idempotency.prune";
            switch (between(0, 4)) {
                case 0: r["before"] = 1; break;
                case 1: r["before"] = "1969-12-31T23:59:59Z"; break;
                case 2: r["before"] = "2001-01-01"; break;
                case 3: r["before"] = 4102444800; break;
                default: r["before"] = "2100-01-01T00:00:00Z"; break;
            }
            if (once_in(2)) r["limit"] = between(1, 3);
            break;
        case 4:
            r["op"] = "idempotency.snapshot_fetch_chunk";
            r["limit"] = between(1, 200);
            break;
        default: r["op"] = one_of(plain); break;
    }
    return r;
}

json::object Generator::right(const Model& model) {
    const std::uint64_t kind = between(0, 99);
    if (kind < 45) return write(model);
    if (kind < 72) return read(model);
    if (kind < 84) return ingest(model);
    if (kind < 88 && taste_.has_snapshots) return snapshot(model);
    if (kind < 94) return history(model);
    return rare(model);
}

void Generator::spoil(json::object& request) {
    static const std::vector<json::value> wrong{nullptr,
                                                -1,
                                                1.5,
                                                "",
                                                "x",
                                                json::array(),
                                                json::object(),
                                                true,
                                                json::value(std::numeric_limits<std::int64_t>::min())};
    std::vector<std::string> names;
    for (const auto& field : request) names.emplace_back(field.key());
    const std::string name = one_of(names);
    switch (between(0, 4)) {
        case 0: request.erase(name); break;
        case 1:
        case 2: request[name] = one_of(wrong); break;
        case 3:
            if (request.contains("bucket")) request["bucket"] = one_of(no_days);
            if (request.contains("range"))
                request["range"] = json::object{{"from", one_of(no_days)}, {"to", day_number()}};
            if (request.contains("limit")) request["limit"] = once_in(2) ? 0 : 10'001;
            if (request.contains("items") && request["items"].is_array() &&
                !request["items"].as_array().empty())
                request["items"].as_array().back() = once_in(2)
                                                         ? json::value(json::array{1, 20260505})
                                                         : json::value(json::array{1, one_of(no_days), 1});
            break;
        default:
            request["unknown"] = json::object{{"a", json::array{1, nullptr}}};
            if (once_in(4)) request["op"] = "counter.nothing";
            break;
    }
}

std::string Generator::spoiled_line(const json::object& request) {
    const std::string line = json::serialize(request);
    switch (between(0, 4)) {
        case 0: return line.substr(0, between(0, line.size() - 1));
        case 1: return line + " x";
        case 2: return "[" + line + "]";
        case 3: return " " + line + "\t";
        default:
            return once_in(2)
                       ? "null"
                       : "{\"v\":2,\"op\":\"counter.sum\",\"series\":\"a\",\"key\":18446744073709551616}";
    }
}

std::string Generator::next(const Model& model) {
    json::object request = right(model);
    if (once_in(14)) {
        spoil(request);
    } else if (once_in(60)) {
        return spoiled_line(request);
    }
    return json::serialize(request);
}

std::string Generator::next_local(const Model& model) {
    static const std::vector<std::string> not_local{"system.compact", "tree.list", "recovery.status"};
    while (true) {
        const std::uint64_t kind = between(0, 9);
        json::object request = kind < 5 ? write(model) : kind < 8 ? ingest(model) : read(model);
        request.erase("as_of");
        const std::string op(request.at("op").as_string());
        if (std::ranges::find(not_local, op) == not_local.end()) return json::serialize(request);
    }
}

std::vector<std::string> Generator::large_series(const std::string& name, std::size_t keys) {
    std::vector<std::string> lines;
    constexpr std::size_t batch = 2000;
    for (std::size_t first = 0; first < keys; first += batch) {
        json::array items;
        for (std::size_t i = first; i < std::min(keys, first + batch); ++i)
            items.push_back(json::array{i * 7, one_of(days), between(1, 1'000'000)});
        lines.push_back(json::serialize(json::object{
            {"v", 2}, {"op", "series.batch_add"}, {"series", name}, {"items", std::move(items)}}));
    }
    return lines;
}

}  // namespace karma::test::model
