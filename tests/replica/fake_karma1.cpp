#include "tests/replica/fake_karma1.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <stdexcept>

#include <boost/json/serialize.hpp>
#include <msgpack.hpp>

#include "net/base64.h"

namespace karma::test {

namespace {

constexpr const char* checkpoints =
    R"([{"source":"kafka","offset":"7","event_id":null,"updated_at_unix":1700000000}])";

void write_file(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream file(path, std::ios::binary);
    file << bytes;
    if (!file.flush()) {
        throw std::runtime_error("cannot write " + path.string());
    }
}

}  // namespace

std::string tree_bytes(const std::map<std::uint64_t, std::map<std::uint32_t, std::uint64_t>>& values) {
    struct Counter {
        std::map<std::uint32_t, std::uint64_t> table;
        std::uint64_t total = 0;
    };
    constexpr std::uint32_t branches = 9;
    std::array<std::map<std::uint64_t, Counter>, branches> sorted;
    for (const auto& [key, days] : values) {
        Counter& counter = sorted[key % branches][key];
        counter.table = days;
        for (const auto& day : days) counter.total += day.second;
    }
    msgpack::sbuffer bytes;
    msgpack::packer packer(bytes);
    packer.pack_map(2);
    packer.pack("branches");
    packer.pack_array(branches);
    for (const auto& branch : sorted) {
        packer.pack_map(static_cast<std::uint32_t>(branch.size()));
        for (const auto& [key, counter] : branch) {
            packer.pack(key);
            packer.pack_map(2);
            packer.pack("table");
            packer.pack(counter.table);
            packer.pack("total");
            packer.pack(counter.total);
        }
    }
    packer.pack("branches_num");
    packer.pack(branches);
    return {bytes.data(), bytes.size()};
}

FakeKarma1::FakeKarma1()
    : server_([this](std::size_t /*index*/, const std::string& line) { return answer(line); }) {}

std::uint64_t FakeKarma1::log(const std::string& fields) {
    const std::lock_guard lock(mutex_);
    entries_[++last_lsn_] = "{\"v\":2," + fields + "}";
    return last_lsn_;
}

void FakeKarma1::cut_log(std::uint64_t lsn) {
    const std::lock_guard lock(mutex_);
    entries_.erase(entries_.begin(), entries_.upper_bound(lsn));
}

void FakeKarma1::skip_to(std::uint64_t lsn) {
    const std::lock_guard lock(mutex_);
    last_lsn_ = lsn - 1;
}

void FakeKarma1::set_tree(const std::string& series, Tree tree) {
    const std::lock_guard lock(mutex_);
    trees_[series] = std::move(tree);
}

void FakeKarma1::set_records(Records records) {
    const std::lock_guard lock(mutex_);
    records_ = std::move(records);
}

void FakeKarma1::lose_files() {
    const std::lock_guard lock(mutex_);
    has_files_ = false;
}

void FakeKarma1::send_without_end() {
    const std::lock_guard lock(mutex_);
    endless_ = true;
}

void FakeKarma1::set_chunk_max(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    chunk_max_ = bytes;
}

std::size_t FakeKarma1::requests(const std::string& op) const {
    const std::lock_guard lock(mutex_);
    const auto found = requests_.find(op);
    return found == requests_.end() ? 0 : found->second;
}

void FakeKarma1::write_files(const std::filesystem::path& directory) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [series, tree] : trees_) {
        write_file(directory / tree.file, tree.bytes);
        write_file(directory / (tree.file + ".meta.json"),
                   json::serialize(json::object{{"tree", series}, {"last_lsn", tree.last_lsn}}));
    }
    if (records_) {
        write_file(directory / "karma.idempotency.json", records_->json);
    }
    write_file(directory / "recovery.json", std::string("{\"checkpoints\":") + checkpoints + "}");
    write_file(directory / "karma.wal.lsn", std::to_string(last_lsn_));
    std::string log;
    for (const auto& [lsn, entry] : entries_) {
        log.append("{\"v\":2,\"lsn\":").append(std::to_string(lsn)).append(",\"entry\":");
        log.append(entry).append("}\n");
    }
    write_file(directory / "karma.wal", log);
}

FakeAnswer FakeKarma1::answer(const std::string& line) {
    const json::value request = parse_json(line);
    const std::string op(member(request, "op").as_string());
    const std::lock_guard lock(mutex_);
    ++requests_[op];
    if (op == "snapshot.info") return {success_reply(info())};
    if (op == "replication.entries") return {entries(request)};
    if (op == "recovery.status") {
        return {success_reply("{\"checkpoint_count\":1,\"checkpoints\":" + std::string(checkpoints) + "}")};
    }
    if (op == "idempotency.snapshot_fetch_chunk")
        return {fetch(request, records_ ? &records_->json : nullptr)};
    if (op == "snapshot.fetch_chunk") {
        const auto tree = std::ranges::find_if(trees_, [&](const auto& entry) {
            return member(request, "file") == json::value(entry.second.file);
        });
        return {fetch(request, tree == trees_.end() || !has_files_ ? nullptr : &tree->second.bytes)};
    }
    return {error_reply("unknown_command", "Unknown op " + op)};
}

std::string FakeKarma1::info() const {
    json::array trees;
    for (const auto& [series, tree] : trees_) {
        trees.push_back({{"tree", series},
                         {"file", tree.file},
                         {"timestamp", tree.timestamp},
                         {"bytes", tree.bytes.size()},
                         {"last_lsn", tree.last_lsn},
                         {"metadata_file", tree.file + ".meta.json"}});
    }
    json::object info = {{"dump_count", trees_.size()},
                         {"latest_by_tree", std::move(trees)},
                         {"wal_enabled", true},
                         {"wal_current_lsn", last_lsn_},
                         {"idempotency_snapshot", nullptr}};
    if (records_) {
        info["idempotency_snapshot"] = {{"file", "karma.idempotency.json"},
                                        {"timestamp", records_->timestamp},
                                        {"last_lsn", records_->last_lsn}};
    }
    return json::serialize(info);
}

std::string FakeKarma1::entries(const json::value& request) const {
    const std::uint64_t after = as_number(member(request, "after_lsn"));
    const std::uint64_t limit = as_number(member(request, "limit"));
    const std::uint64_t first = entries_.empty() ? last_lsn_ + 1 : entries_.begin()->first;
    if (after + 1 < first) return error_reply("replication_gap", "Requested LSN is not kept");
    std::string entries;
    std::uint64_t count = 0;
    for (auto entry = entries_.upper_bound(after); entry != entries_.end() && count < limit;
         ++entry, ++count) {
        entries += (count == 0 ? "{\"lsn\":" : ",{\"lsn\":") + std::to_string(entry->first) +
                   ",\"entry\":" + entry->second + "}";
    }
    return success_reply("{\"count\":" + std::to_string(count) +
                         ",\"source_lsn\":" + std::to_string(last_lsn_) +
                         ",\"truncated_by_bytes\":false,\"entries\":[" + entries + "]}");
}

std::string FakeKarma1::fetch(const json::value& request, const std::string* bytes) const {
    if (bytes == nullptr) return error_reply("not_found", "Snapshot not found");
    const std::uint64_t offset = as_number(member(request, "offset"));
    const std::uint64_t limit = as_number(member(request, "limit"));
    if (limit > chunk_max_) return error_reply("response_too_large", "Response is too large");
    const std::string part = endless_ ? std::string(limit, 'x') : bytes->substr(offset, limit);
    std::string data;
    net::append_base64(part, data);
    return success_reply("{\"total_bytes\":" + std::to_string(bytes->size()) + ",\"done\":" +
                         (!endless_ && offset + part.size() >= bytes->size() ? "true" : "false") +
                         ",\"data_base64\":\"" + data + "\"}");
}

}  // namespace karma::test
