#include "engine/ingest.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "engine/component_codec.h"
#include "engine/event.h"
#include "engine/hash.h"
#include "engine/record_codec.h"

namespace karma {
namespace {

using EncodedStreamView = std::tuple<std::string, msgpack::object>;

reply::StreamBegun begun(const StreamInfo& stream) {
    return {stream.id,          stream.mode,           stream.series,
            stream.granularity, stream.is_committed(), stream.last_chunk_seq()};
}

}  // namespace

Error stream_not_found(std::string_view id) {
    return {ErrorCode::not_found, "Ingest stream \"" + std::string(id) + "\" not found"};
}

bool StreamInfo::begun_as(const fact::BeginStream& begin) const noexcept {
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

// ---- decisions

std::optional<Reply> IngestStreams::check(const fact::BeginStream& m) const {
    if (const Stream* const stream = find(m.stream_id)) {
        if (stream->info.begun_as(m)) {
            return begun(stream->info);
        }
        return Error{ErrorCode::idempotency_conflict,
                     std::string("Ingest stream ") +
                         (stream->info.is_committed() ? "was already committed" : "already exists") +
                         " with different parameters"};
    }
    if (open_count() >= open_max) {
        return Error{ErrorCode::validation_error, "Field stream_id is new, and " + std::to_string(open_max) +
                                                      " streams are open: commit or abort one of them first"};
    }
    return std::nullopt;
}

std::optional<Reply> IngestStreams::check(const fact::CommitStream& m) const {
    const Stream* const stream = find(m.stream_id);
    if (stream == nullptr) {
        return stream_not_found(m.stream_id);
    }
    if (stream->info.is_committed()) {
        return begun(stream->info);
    }
    if (stream->info.mode == IngestMode::replace_series && stream->info.last_chunk_seq() == 0) {
        return Error{ErrorCode::validation_error, "An empty replace_series stream cannot be committed"};
    }
    return std::nullopt;
}

std::optional<Reply> IngestStreams::check(const fact::LoadSeries& m) const {
    return check(fact::CommitStream{m.stream_id});
}

/// What was committed cannot be aborted any more.
std::optional<Reply> IngestStreams::check(const fact::AbortStream& m) const {
    const Stream* const stream = find(m.stream_id);
    return stream == nullptr || stream->info.is_committed()
               ? std::optional<Reply>(stream_not_found(m.stream_id))
               : std::nullopt;
}

std::variant<fact::PruneStreams, Reply> IngestStreams::decide(const mutation::PruneStreams& m,
                                                              FactMemory& memory) const {
    const StreamInfo* const last = last_to_prune(m.before_unix, m.limit);
    if (last == nullptr) {
        return Reply(reply::Pruned{0});
    }
    memory.text = last->id;  // it outlives the stream
    return fact::PruneStreams{m.before_unix, m.limit, memory.text, last->committed_at_unix.value_or(0)};
}

Lsn IngestStreams::wait_lsn(std::string_view id) const noexcept {
    const Stream* const stream = find(id);
    return stream == nullptr ? lsn_ : stream->info.lsn;
}

// ---- changes

Reply IngestStreams::apply(const fact::BeginStream& m, const Event& event) {
    begin(m, event.lsn);
    return begun(find(m.stream_id)->info);
}

Reply IngestStreams::apply(const fact::PruneStreams& m, const Event& event) {
    last_pruned_ = prune(m.last_unix, m.last_id, event.lsn);
    return reply::Pruned{last_pruned_.size()};
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

void IngestStreams::begin(const fact::BeginStream& begin, Lsn lsn) {
    Stream stream;
    stream.info.id = begin.stream_id;
    stream.info.mode = begin.mode;
    stream.info.granularity = begin.granularity;
    stream.info.lsn = lsn;
    open_.insert_or_assign(stream.info.id, std::move(stream));
    lsn_ = lsn;
}

void IngestStreams::add_chunk(Stream& stream, const fact::AddChunk& chunk, Lsn lsn) {
    if (!stream.info.series) {
        stream.info.series = chunk.series;
    }
    IntrusivePtr<ChunkList>& chunks = stream.info.chunks;
    if (!chunks->is_unique()) {
        IntrusivePtr<ChunkList> copy(new ChunkList);
        copy->fingerprints = chunks->fingerprints;
        chunks = std::move(copy);
    }
    chunks->fingerprints.push_back(chunk.fingerprint);
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
        const bool has_staged = stream.staged != nullptr;
        views.push_back(
            {stream.info, has_staged ? std::optional(stream.staged->view()) : std::nullopt, has_staged});
    }
    return views;
}

// ---- views

ComponentViewRef IngestStreams::view() const {
    auto view = std::make_shared<View>();
    view->open = open_streams();
    view->committed_digest = committed_digest_;
    view->committed_count = committed_.size();
    return view;
}

Digest IngestStreams::View::digest(const Deadline& deadline) const {
    Digest digest = committed_digest;
    for (const StreamView& stream : open) {
        digest += stream.digest(deadline);
    }
    return digest;
}

ComponentViewRef IngestStreams::View::take_out_series(std::vector<SeriesView>& series) const {
    auto rest = std::make_shared<View>(*this);
    for (StreamView& stream : rest->open) {
        if (stream.staged) {
            series.push_back(*stream.staged);
            stream.staged.reset();
        }
    }
    return rest;
}

void IngestStreams::View::write(ContentsWriter& out) const {
    ContentsWriter::Packer& streams = out.next();
    streams.pack_array(static_cast<std::uint32_t>(open.size()));
    for (const StreamView& stream : open) {
        streams.pack_array(std::tuple_size_v<EncodedStreamView>);
        const std::string info = encode_stream(stream.info);
        streams.pack_bin(static_cast<std::uint32_t>(info.size()));
        streams.pack_bin_body(info.data(), static_cast<std::uint32_t>(info.size()));
        if (stream.has_staged) {
            out.pack_series();
        } else {
            streams.pack_nil();
        }
    }
    out.next().pack(committed_count);
}

IngestStreams::View IngestStreams::View::read(ContentsReader& in) {
    View view;
    if (const msgpack::object* const value = in.next()) {
        for (const auto& [info, staged] : value->as<std::vector<EncodedStreamView>>()) {
            const bool has_staged = staged.type != msgpack::type::NIL;
            view.open.push_back({decode_stream(info), std::nullopt, has_staged});
            const std::size_t last = view.open.size() - 1;
            if (view.open[last].info.is_committed() ||
                (last > 0 && view.open[last].info.id <= view.open[last - 1].info.id)) {
                throw CorruptionError("an open ingest stream that is committed, or is there twice");
            }
            if (has_staged) {
                in.read_series(staged);
            }
        }
    }
    if (const msgpack::object* const value = in.next()) {
        view.committed_count = value->as<std::uint64_t>();
    }
    return view;
}

void IngestStreams::restore(const ComponentView& view, const TakeSeries& take_series) {
    for (const StreamView& stream : static_cast<const View&>(view).open) {
        if (find(stream.info.id) != nullptr) {
            throw CorruptionError("ingest stream \"" + stream.info.id + "\" is there twice");
        }
        restore({stream.info, stream.has_staged ? take_series() : nullptr});
    }
}

}  // namespace karma
