#include "tests/model/state.h"

#include <algorithm>
#include <set>

namespace karma::test::model {

namespace {

Outcome refused(const char* code) { return {code, {}, false, {}}; }
Outcome accepted(json::value response) { return {{}, std::move(response), true, {}}; }
Outcome answered(json::value response) { return {{}, std::move(response), false, {}}; }

bool fits_added(const Series* series, const std::vector<Item>& items) {
    std::map<std::uint64_t, Wide> totals;
    for (const Item& item : items) {
        const auto [at, is_new] = totals.try_emplace(item.key, 0);
        if (is_new && series != nullptr && series->contains(item.key))
            at->second = total_of(series->at(item.key));
        at->second += item.value;
        if (at->second > value_max) return false;
    }
    return true;
}

bool fits_set(const Series* series, const std::vector<Item>& items) {
    std::map<std::uint64_t, Buckets> after;
    for (const Item& item : items) {
        const auto [at, is_new] = after.try_emplace(item.key);
        if (is_new && series != nullptr && series->contains(item.key)) at->second = series->at(item.key);
        at->second[item.day] = item.value;
    }
    return std::ranges::all_of(after, [](const auto& entry) { return total_of(entry.second) <= value_max; });
}

void add_all(Series& series, const std::vector<Item>& items) {
    for (const Item& item : items) series[item.key][item.day] += item.value;
}

void set_all(Series& series, const std::vector<Item>& items) {
    for (const Item& item : items) {
        Buckets& buckets = series[item.key];
        if (item.value == 0)
            buckets.erase(item.day);
        else
            buckets[item.day] = item.value;
    }
}

Wide sum_of(const std::vector<Item>& items) {
    Wide sum = 0;
    for (const Item& item : items) sum += item.value;
    return sum;
}

// Whether anything was there.
bool erase_range(Buckets& buckets, const Range& range) {
    return std::erase_if(buckets, [&](const auto& bucket) { return range.contains(bucket.first); }) > 0;
}

bool erase_key(Series& series, std::uint64_t key, const Range& range) {
    const auto found = series.find(key);
    return found != series.end() && erase_range(found->second, range);
}

void drop_empty_keys(Series& series) {
    std::erase_if(series, [](const auto& entry) { return entry.second.empty(); });
}

json::value text_or_null(const std::optional<std::string>& text) {
    return text ? json::value(*text) : json::value(nullptr);
}

}  // namespace

const SharedSeries* State::find(const std::string& name) const {
    const auto found = series.find(name);
    return found == series.end() ? nullptr : &found->second;
}

const Record* State::find_record(const std::string& key) const {
    const auto found = std::ranges::find(*records, key, &Record::key);
    return found == records->end() ? nullptr : &*found;
}

std::size_t State::committed_streams() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(*streams, [](const auto& entry) { return entry.second.is_committed; }));
}

Outcome State::execute(const Command& command) {
    if (command.idempotency_key) {
        const std::string payload = payload_of(command);
        if (!command.fingerprint.empty() && command.fingerprint != sha256(payload))
            return refused("idempotency_conflict");
        if (const Record* const record = find_record(*command.idempotency_key)) {
            if (record->payload != payload) return refused("idempotency_conflict");
            Outcome repeat = answered(record->response);
            repeat.idempotent = true;
            return repeat;
        }
        Outcome outcome = change(command);
        if (!outcome.refused.empty()) return outcome;
        outcome.idempotent = false;
        std::deque<Record>& kept = records.change();
        kept.push_back({*command.idempotency_key, payload, outcome.response, command.request});
        while (kept.size() > records_max) kept.pop_front();
        ++lsn;
        return outcome;
    }
    Outcome outcome = change(command);
    if (outcome.is_event) ++lsn;
    return outcome;
}

Outcome State::change(const Command& c) {
    if (c.op == "counter.increment" || c.op == "counter.decrement") return point(c);
    if (c.op == "series.batch_add" || c.op == "series.batch_set") return batch(c);
    if (c.op == "counter.multi_add") return multi_add(c);
    if (c.op == "counter.reset" || c.op == "tree.reset" || c.op == "counter.delete_range" ||
        c.op == "tree.delete_range")
        return erase(c);
    if (c.op == "counter.batch_reset" || c.op == "counter.batch_delete_range") return batch_erase(c);
    if (c.op == "ingest.prune") return prune_streams(c);
    if (c.op.starts_with("ingest.")) return ingest(c);
    if (c.op == "idempotency.prune") return prune(c);
    if (c.op == "recovery.checkpoint") {
        checkpoints.change()[*c.source] = {c.offset, c.event_id};
        return accepted(json::object{{"source", *c.source},
                                     {"offset", text_or_null(c.offset)},
                                     {"event_id", text_or_null(c.event_id)}});
    }
    if (c.op == "tree.create") {
        series.try_emplace(c.series);
        return accepted("OK");
    }
    if (c.op == "snapshot.load") {
        series[c.series] = *c.content;
        return accepted(json::value("Tree \"" + c.series + "\" loaded"));
    }
    return clean(c);
}

Outcome State::point(const Command& c) {
    if (c.op == "counter.increment") {
        const SharedSeries* const found = find(c.series);
        if (!fits_added(found == nullptr ? nullptr : &**found, {{c.key, c.day, c.value}}))
            return refused("validation_error");
        open(c.series)[c.key][c.day] += c.value;
        return accepted(c.value);
    }
    Buckets& buckets = open(c.series)[c.key];
    if (const auto bucket = buckets.find(c.day); bucket != buckets.end()) {
        if (bucket->second > c.value)
            bucket->second -= c.value;
        else
            buckets.erase(bucket);
    }
    return accepted(c.value);
}

Outcome State::batch(const Command& c) {
    const SharedSeries* const found = find(c.series);
    const Series* const before = found == nullptr ? nullptr : &**found;
    if (c.op == "series.batch_add") {
        if (!fits_added(before, c.items)) return refused("validation_error");
        add_all(open(c.series), c.items);
        return accepted(json::object{{"applied", c.items.size()}, {"total", to_json(sum_of(c.items))}});
    }
    if (!fits_set(before, c.items)) return refused("validation_error");
    if (!c.items.empty()) set_all(open(c.series), c.items);  // nothing to set creates no series
    return accepted(json::object{{"applied", c.items.size()}});
}

// All of the points, or none.
Outcome State::multi_add(const Command& c) {
    std::map<std::string, std::vector<Item>> by_series;
    for (const SeriesItem& of : c.series_items) by_series[of.series].push_back(of.item);
    for (const auto& [name, items] : by_series) {
        const SharedSeries* const found = find(name);
        if (!fits_added(found == nullptr ? nullptr : &**found, items)) return refused("validation_error");
    }
    for (const auto& [name, items] : by_series) add_all(open(name), items);
    return accepted(json::object{{"applied", c.series_items.size()}});
}

Outcome State::erase(const Command& c) {
    Series& keys = open(c.series);
    const Range range = c.range.value_or(all_days);
    if (c.op.starts_with("counter."))
        erase_key(keys, c.key, range);
    else
        for (auto& entry : keys) erase_range(entry.second, range);
    return accepted(c.range ? json::value(true) : json::value("OK"));
}

Outcome State::batch_erase(const Command& c) {
    if (find(c.series) == nullptr) return refused("not_found");
    Series& keys = open(c.series);
    std::uint64_t erased = 0;
    std::uint64_t missing = 0;
    for (const std::uint64_t key : c.keys) {
        const auto at = keys.find(key);
        if (at == keys.end() || at->second.empty())
            ++missing;
        else if (erase_range(at->second, c.range.value_or(all_days)))
            ++erased;
    }
    if (c.range) return accepted(json::object{{"deleted", erased}, {"missing", missing}});
    return accepted(json::object{{"reset", erased}, {"missing", missing}});
}

Outcome State::clean(const Command& c) {
    if (c.op == "system.compact") {
        for (auto& entry : series) drop_empty_keys(entry.second.change());
        return accepted("OK");
    }
    if (find(c.series) == nullptr) return refused("not_found");
    if (c.op == "tree.drop") {
        series.erase(c.series);
        return accepted("OK");
    }
    Series& keys = open(c.series);
    if (c.op == "series.delete_before" && c.day > all_days.from)
        for (auto& entry : keys) erase_range(entry.second, {all_days.from, c.day - 1});
    drop_empty_keys(keys);
    return accepted("OK");
}

json::value describe(const std::string& id, const Stream& stream) {
    return {{"stream_id", id},
            {"mode", stream.mode},
            {"series", text_or_null(stream.series)},
            {"granularity", text_or_null(stream.granularity)},
            {"status", stream.is_committed ? "already_committed" : "active"},
            {"last_chunk_seq", stream.chunks.size()}};
}

Outcome State::ingest(const Command& c) {
    const auto found = streams->find(c.stream_id);
    if (c.op == "ingest.begin") {
        if (found == streams->end()) {
            Stream stream;
            stream.mode = c.mode;
            stream.granularity = c.granularity;
            stream.begin = c.request;
            json::value response = describe(c.stream_id, stream);
            streams.change().emplace(c.stream_id, std::move(stream));
            return accepted(std::move(response));
        }
        const Stream& stream = found->second;
        if (stream.mode != c.mode || stream.granularity != c.granularity)
            return refused("idempotency_conflict");
        return answered(describe(c.stream_id, stream));
    }
    if (found == streams->end()) return refused("not_found");
    const std::uint64_t chunks = found->second.chunks.size();
    if (c.op == "ingest.chunk") return chunk(streams.change().at(c.stream_id), c);
    if (c.op == "ingest.abort") {
        if (found->second.is_committed) return refused("not_found");
        streams.change().erase(c.stream_id);
        return accepted(
            json::object{{"stream_id", c.stream_id}, {"status", "aborted"}, {"last_chunk_seq", chunks}});
    }
    if (found->second.is_committed) return answered(describe(c.stream_id, found->second));
    if (found->second.mode == "replace_series" && chunks == 0) return refused("validation_error");
    Stream& stream = streams.change().at(c.stream_id);
    if (stream.mode == "replace_series") series[*stream.series] = stream.staged;
    stream.staged = {};
    stream.is_committed = true;
    return accepted(
        json::object{{"stream_id", c.stream_id}, {"status", "committed"}, {"last_chunk_seq", chunks}});
}

Outcome State::chunk(Stream& stream, const Command& c) {
    const std::string payload = payload_of(c);
    const std::uint64_t last = stream.chunks.size();
    if (c.chunk_seq <= last && stream.chunks[c.chunk_seq - 1] == payload)
        return answered(json::object{{"stream_id", c.stream_id},
                                     {"chunk_seq", c.chunk_seq},
                                     {"skipped", true},
                                     {"committed", stream.is_committed},
                                     {"applied", 0},
                                     {"total", 0}});
    if (stream.is_committed) return refused("idempotency_conflict");
    if (stream.series && *stream.series != c.series) return refused("validation_error");
    if (c.chunk_seq <= last) return refused("idempotency_conflict");
    if (c.chunk_seq != last + 1) return refused("validation_error");
    if (stream.mode == "add" && std::ranges::any_of(c.items, [](const Item& i) { return i.value == 0; }))
        return refused("validation_error");
    if (stream.mode == "replace_series") {
        if (!fits_set(&*stream.staged, c.items)) return refused("validation_error");
        set_all(stream.staged.change(), c.items);
    } else {
        Command direct = c;
        direct.op = stream.mode == "add" ? "series.batch_add" : "series.batch_set";
        Outcome outcome = batch(direct);
        if (!outcome.refused.empty()) return outcome;
    }
    stream.series = c.series;
    stream.chunks.push_back(payload);
    return accepted(json::object{{"stream_id", c.stream_id},
                                 {"chunk_seq", c.chunk_seq},
                                 {"skipped", false},
                                 {"applied", c.items.size()},
                                 {"total", to_json(sum_of(c.items))}});
}

Outcome State::prune(const Command& c) {
    // The generator asks for times long before and long after those of the records.
    std::uint64_t deleted = 0;
    if (c.before > 2'000'000'000)
        deleted = std::min<std::uint64_t>(records->size(), c.prune_limit.value_or(records->size()));
    std::deque<Record>& kept = records.change();
    kept.erase(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(deleted));
    return accepted(json::object{{"deleted", deleted}});
}

Outcome State::prune_streams(const Command& c) {
    // The same of the times, and there are fewer streams than the limits that it gives.
    const std::uint64_t deleted = c.before > 2'000'000'000 ? committed_streams() : 0;
    if (deleted == 0) return answered(json::object{{"deleted", 0}});
    std::erase_if(streams.change(), [](const auto& entry) { return entry.second.is_committed; });
    return accepted(json::object{{"deleted", deleted}});
}

namespace {

const Series& need(const State& state, const std::string& name) {
    const SharedSeries* const found = state.find(name);
    if (found == nullptr) throw Refusal{"not_found"};
    return **found;
}

json::value sum(const Series& series, std::uint64_t key, const std::optional<Range>& range) {
    const auto found = series.find(key);
    return found == series.end() ? json::value(0)
                                 : to_json(total_of(found->second, range.value_or(all_days)));
}

json::object points(const Buckets& buckets, const Range& range) {
    json::object days;
    for (const auto& [day, value] : buckets)
        if (range.contains(day)) days[std::to_string(day)] = value;
    return days;
}

json::value keys_page(const Series& series, const Command& c) {
    json::array keys;
    json::value next(nullptr);
    auto at = c.cursor ? series.upper_bound(*c.cursor) : series.begin();
    for (; at != series.end() && keys.size() < c.limit; ++at)
        keys.push_back({{"key", at->first}, {"total", to_json(total_of(at->second))}});
    if (at != series.end()) next = std::prev(at)->first;
    return {{"tree", c.series},
            {"limit", c.limit},
            {"cursor", c.cursor ? json::value(*c.cursor) : json::value(nullptr)},
            {"next_cursor", next},
            {"keys", std::move(keys)}};
}

json::value top(const Series& series, const Command& c) {
    std::set<std::pair<Wide, std::uint64_t>> order;  // what is not summed up to 2^64-1, then the key
    for (const auto& [key, buckets] : series)
        if (const Wide total = total_of(buckets, c.range.value_or(all_days)); total > 0)
            order.emplace(value_max - total, key);
    json::array items;
    for (const auto& [rest, key] : order) {
        if (items.size() == c.limit) break;
        items.push_back({{"key", key}, {"value", to_json(value_max - rest)}});
    }
    return {{"tree", c.series}, {"limit", c.limit}, {"items", std::move(items)}};
}

struct Totals {
    Wide total = 0;
    std::uint64_t keys = 0;
    std::uint64_t active_keys = 0;  // with a bucket in the range
    std::uint64_t buckets = 0;
};

Totals totals_of(const Series& series, const Range& range) {
    Totals totals;
    for (const auto& [key, buckets] : series) {
        const auto within =
            std::ranges::count_if(buckets, [&](const auto& bucket) { return range.contains(bucket.first); });
        totals.total += total_of(buckets, range);
        totals.buckets += static_cast<std::uint64_t>(within);
        totals.active_keys += within > 0 ? 1 : 0;
        ++totals.keys;
    }
    return totals;
}

json::value summary(const Series& series, const Command& c) {
    const Totals totals = totals_of(series, c.range.value_or(all_days));
    json::object response{{"tree", c.series},
                          {"total", to_json(totals.total)},
                          {"active_keys", c.range ? totals.active_keys : totals.keys},
                          {"bucket_count", totals.buckets}};
    if (c.range) {
        response["range_from"] = c.range->from;
        response["range_to"] = c.range->to;
    }
    return response;
}

json::value all_points(const Series& series, const Range& range) {
    json::object keys;
    for (const auto& [key, buckets] : series) keys[std::to_string(key)] = points(buckets, range);
    return keys;
}

json::value read_series(const Series& series, const Command& c) {
    if (c.op == "counter.sum") return sum(series, c.key, c.range);
    if (c.op == "counter.series") {
        const auto found = series.find(c.key);
        return found == series.end() ? json::object() : points(found->second, *c.range);
    }
    if (c.op == "counter.batch_sum") {
        json::array sums;
        for (const std::uint64_t key : c.keys)
            sums.push_back({{"key", key}, {"value", sum(series, key, c.range)}});
        return sums;
    }
    if (c.op == "tree.keys") return keys_page(series, c);
    if (c.op == "tree.top") return top(series, c);
    if (c.op == "tree.summary") return summary(series, c);
    return all_points(series, *c.range);
}

}  // namespace

json::value read(const State& state, const Command& c) {
    if (c.op == "counter.multi_sum") {
        json::array sums;
        for (const auto& [series, key] : c.series_keys)
            sums.push_back(
                {{"series", series}, {"key", key}, {"value", sum(need(state, series), key, c.range)}});
        return sums;
    }
    const Series& series = need(state, c.series);
    if (c.op != "tree.info") return read_series(series, c);
    const Totals totals = totals_of(series, all_days);
    return {{"tree", c.series},
            {"key_count", totals.keys},
            {"bucket_count", totals.buckets},
            {"total", to_json(totals.total)}};
}

}  // namespace karma::test::model
