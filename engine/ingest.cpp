#include "engine/ingest.h"

#include <algorithm>
#include <utility>

#include "engine/hash.h"

namespace karma {

bool StreamInfo::begun_as(const mutation::BeginStream& begin) const noexcept {
    return mode == begin.mode && granularity == begin.granularity;
}

bool StreamInfo::has_chunk(std::uint64_t seq, const Fingerprint& fingerprint) const noexcept {
    return seq >= 1 && seq <= last_chunk_seq() && chunks->fingerprints[seq - 1] == fingerprint;
}

Digest digest_of(const StreamInfo& stream) noexcept {
    std::uint64_t low = hash_text(stream.id, 5 + static_cast<std::uint64_t>(stream.mode));
    std::uint64_t high = hash_text(stream.granularity.value_or(""), low);
    high ^= hash_text(stream.series.value_or(""), high);
    for (const Fingerprint& chunk : stream.chunks->fingerprints) {
        const std::string_view bytes(reinterpret_cast<const char*>(chunk.bytes.data()), chunk.bytes.size());
        low = mix64(low + hash_text(bytes, high));
    }
    low ^= mix64(static_cast<std::uint64_t>(stream.committed_at_unix.value_or(-1)));
    return {low, mix64(high + low)};
}

Digest StreamView::digest(const Deadline& deadline) const {
    Digest digest = digest_of(info);
    if (staged) {
        // Not the same as the series itself, which other streams may be making too.
        const std::uint64_t stream = hash_text(info.id, 6);
        const Digest series = scan_digest(*staged, deadline);
        digest += {mix64(series.low ^ stream), mix64(series.high + stream)};
    }
    return digest;
}

const IngestStreams::Stream* IngestStreams::find(std::string_view id) const noexcept {
    if (const auto found = open_.find(id); found != open_.end()) {
        return &found->second;
    }
    const auto found = committed_.find(id);
    return found == committed_.end() ? nullptr : &found->second;
}

IngestStreams::Stream* IngestStreams::find(std::string_view id) noexcept {
    return const_cast<Stream*>(std::as_const(*this).find(id));
}

void IngestStreams::begin(const mutation::BeginStream& begin, Lsn lsn) {
    Stream stream;
    stream.info.id = begin.stream_id;
    stream.info.mode = begin.mode;
    stream.info.granularity = begin.granularity;
    stream.info.lsn = lsn;
    open_.insert_or_assign(stream.info.id, std::move(stream));
    lsn_ = lsn;
}

void IngestStreams::add_chunk(Stream& stream, const mutation::AddChunk& chunk, Lsn lsn) {
    if (!stream.info.series) {
        stream.info.series = chunk.series;
    }
    IntrusivePtr<ChunkList>& chunks = stream.info.chunks;
    if (!chunks->is_unique()) {
        IntrusivePtr<ChunkList> copy(new ChunkList);
        copy->fingerprints = chunks->fingerprints;
        chunks = std::move(copy);
    }
    chunks->fingerprints.push_back(*chunk.fingerprint);
    stream.info.lsn = lsn;
    ++chunk_count_;
}

const StreamInfo& IngestStreams::commit(std::string_view id, std::int64_t time_unix, Lsn lsn) {
    const auto at = committed_.insert(open_.extract(open_.find(id))).position;
    StreamInfo& info = at->second.info;
    info.committed_at_unix = time_unix;
    info.lsn = lsn;
    add_committed(*at);
    lsn_ = lsn;
    return info;
}

void IngestStreams::abort(std::string_view id, Lsn lsn) {
    const auto aborted = open_.find(id);
    chunk_count_ -= aborted->second.info.last_chunk_seq();
    open_.erase(aborted);
    lsn_ = lsn;
}

void IngestStreams::restore(Stream stream) {
    lsn_ = std::max(lsn_, stream.info.lsn);
    if (stream.info.is_committed()) {
        if (const auto open = open_.find(stream.info.id); open != open_.end()) {
            chunk_count_ -= open->second.info.last_chunk_seq();
            open_.erase(open);
        }
    }
    chunk_count_ += stream.info.last_chunk_seq();
    const bool is_committed = stream.info.is_committed();
    Streams& streams = is_committed ? committed_ : open_;
    std::string id = stream.info.id;
    const auto at = streams.insert_or_assign(std::move(id), std::move(stream)).first;
    if (is_committed) {
        add_committed(*at);
    }
}

void IngestStreams::add_committed(const Streams::value_type& entry) {
    commits_.insert(order_of(entry));
    committed_digest_ += digest_of(entry.second.info);
}

void IngestStreams::drop_committed(Streams::iterator at) {
    commits_.erase(order_of(*at));
    committed_digest_ -= digest_of(at->second.info);
    chunk_count_ -= at->second.info.last_chunk_seq();
    committed_.erase(at);
}

const StreamInfo* IngestStreams::last_to_prune(std::int64_t before_unix, std::uint64_t limit) const {
    const CommitOrder* last = nullptr;
    std::uint64_t count = 0;
    for (auto at = commits_.begin(); at != commits_.end() && at->first < before_unix && count < limit; ++at) {
        last = &*at;
        ++count;
    }
    return last == nullptr ? nullptr : &committed_.find(last->second)->second.info;
}

std::vector<std::string> IngestStreams::prune(std::int64_t last_unix, std::string_view last_id, Lsn lsn) {
    const CommitOrder last(last_unix, last_id);
    std::vector<std::string> ids;
    while (!commits_.empty() && *commits_.begin() <= last) {
        const auto at = committed_.find(commits_.begin()->second);
        ids.push_back(at->first);
        drop_committed(at);
    }
    lsn_ = lsn;
    return ids;
}

std::vector<StreamInfo> IngestStreams::committed_streams() const {
    std::vector<StreamInfo> streams;
    streams.reserve(committed_.size());
    for (const auto& entry : committed_) {
        streams.push_back(entry.second.info);
    }
    return streams;
}

std::vector<StreamView> IngestStreams::open_streams() const {
    std::vector<StreamView> views;
    views.reserve(open_.size());
    for (const auto& entry : open_) {
        const Stream& stream = entry.second;
        views.push_back({stream.info, stream.staged ? std::optional(stream.staged->view()) : std::nullopt});
    }
    return views;
}

}  // namespace karma
