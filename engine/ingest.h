#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/component.h"
#include "engine/fact.h"
#include "engine/fingerprint.h"
#include "engine/intrusive_ptr.h"
#include "engine/mutation.h"
#include "engine/number.h"
#include "engine/reply.h"
#include "engine/scan.h"
#include "engine/series.h"

namespace karma {

/// The fingerprints of a stream's chunks, by sequence number from 1. Shared with views, copied on write.
struct ChunkList final : RefCounted {
    std::vector<Fingerprint> fingerprints;

    static void destroy(const ChunkList* list) noexcept { delete list; }
};

/// What makes an ingest stream, open or committed.
struct StreamInfo {
    std::string id;
    IngestMode mode = IngestMode::add;
    std::optional<std::string> granularity;
    std::optional<std::string> series;  // none until the first chunk
    IntrusivePtr<ChunkList> chunks{new ChunkList};
    Lsn lsn = 0;                                    // the last event that concerned it
    std::optional<std::int64_t> committed_at_unix;  // none while it is open

    std::uint64_t last_chunk_seq() const noexcept { return chunks->fingerprints.size(); }
    bool is_committed() const noexcept { return committed_at_unix.has_value(); }
    /// Whether ingest.begin asked for the same stream.
    bool begun_as(const fact::BeginStream& begin) const noexcept;
    /// Whether the stream has a chunk of this number, and of this fingerprint.
    bool has_chunk(std::uint64_t seq, const Fingerprint& fingerprint) const noexcept;
};

/// Depends on what the stream is alone.
Digest digest_of(const StreamInfo& stream) noexcept;

/// An open stream at one LSN; with the series that it is making in mode replace_series, from its first chunk.
struct StreamView {
    StreamInfo info;
    std::optional<SeriesView> staged;  // not there either where the series was taken out
    bool has_staged = false;

    Digest digest(const Deadline& deadline) const;
};

/// The ingest streams of an engine. Committed ones are remembered until they are pruned: some 300 bytes each,
/// and 32 a chunk, so that a chunk that is sent again is not counted again. Not thread-safe.
class IngestStreams final : public Component {
public:
    static constexpr std::string_view name = "streams";
    static constexpr bool is_needed_by_series = true;

    /// The open streams. Of the committed ones, which lie in storage as records, only the digest and the
    /// number.
    class View final : public ComponentView {
    public:
        std::vector<StreamView> open;  // by id
        Digest committed_digest;
        std::uint64_t committed_count = 0;

        Digest digest(const Deadline& deadline) const override;
        std::shared_ptr<const ComponentView> take_out_series(std::vector<SeriesView>& series) const override;
        void write(ContentsWriter& out) const override;
        static View read(ContentsReader& in);
    };

    /// Streams that may be open at a time.
    static constexpr std::size_t open_max = 10'000;
    /// So many chunks take the memory of a stream, about.
    static constexpr std::size_t chunks_of_weight = 8;

    struct Stream {
        StreamInfo info;
        std::unique_ptr<Series> staged;
    };

    /// Null where there is no such stream.
    const Stream* find(std::string_view id) const noexcept;
    Stream* find(std::string_view id) noexcept;

    std::size_t open_count() const noexcept { return open_.size(); }
    std::size_t committed_count() const noexcept { return committed_.size(); }
    /// What takes memory until it is pruned: the streams, and one more for each `chunks_of_weight` of their
    /// chunks.
    std::size_t weight() const noexcept {
        return open_.size() + committed_.size() + chunk_count_ / chunks_of_weight;
    }
    /// The last event that opened, committed or aborted a stream.
    Lsn lsn() const noexcept { return lsn_; }

    std::optional<Reply> check(const fact::BeginStream& m) const;
    std::optional<Reply> check(const fact::CommitStream& m) const;
    std::optional<Reply> check(const fact::AbortStream& m) const;
    std::optional<Reply> check(const fact::LoadSeries& m) const;
    /// Which ones go: an event says it, because a state that is rebuilt may have others.
    std::variant<fact::PruneStreams, Reply> decide(const mutation::PruneStreams& m, FactMemory& memory) const;
    /// What a reply has to wait for that shows whether a stream exists, and how far it has come.
    Lsn wait_lsn(std::string_view id) const noexcept;
    template <typename M>
    requires requires(const M& m) { m.stream_id; }
    Lsn wait_lsn(const M& m) const noexcept { return wait_lsn(m.stream_id); }
    Lsn wait_lsn(const mutation::PruneStreams& /*m*/) const noexcept { return lsn_; }
    Reply apply(const fact::BeginStream& m, const Event& event);
    Reply apply(const fact::PruneStreams& m, const Event& event);

    void begin(const fact::BeginStream& begin, Lsn lsn);
    /// Notes the next chunk of an open stream, which binds it to the series when it is the first.
    void add_chunk(Stream& stream, const fact::AddChunk& chunk, Lsn lsn);
    /// Of an open stream.
    const StreamInfo& commit(std::string_view id, std::int64_t time_unix, Lsn lsn);
    /// Of an open stream.
    void abort(std::string_view id, Lsn lsn);

    /// The last one that `prune` would forget: the committed streams of before an instant, the ones that were
    /// committed first, `limit` of them at most. Null where there is none.
    const StreamInfo* last_to_prune(std::int64_t before_unix, std::uint64_t limit) const;
    /// Forgets the committed streams up to this one, by the time of their commit and then by their ids, and
    /// returns the ids.
    std::vector<std::string> prune(std::int64_t last_unix, std::string_view last_id, Lsn lsn);

    /// The ids that the last event of PruneStreams has removed.
    const std::vector<std::string>& last_pruned() const noexcept { return last_pruned_; }

    ComponentViewRef view() const override;
    void restore(const ComponentView& view, const TakeSeries& take_series) override;
    /// Puts back what a snapshot or a record holds; a committed one takes the place of one that is open.
    void restore(Stream stream);

    std::vector<StreamView> open_streams() const;
    std::vector<StreamInfo> committed_streams() const;
    /// Of the committed streams.
    const Digest& committed_digest() const noexcept { return committed_digest_; }

private:
    using Streams = std::map<std::string, Stream, std::less<>>;
    using CommitOrder = std::pair<std::int64_t, std::string_view>;  // time of the commit, id

    static CommitOrder order_of(const Streams::value_type& entry) {
        return {entry.second.info.committed_at_unix.value_or(0), entry.first};
    }
    void add_committed(const Streams::value_type& entry);
    void drop_committed(Streams::iterator at);

    Streams open_;
    Streams committed_;
    std::set<CommitOrder> commits_;  // of the committed ones; their ids are the keys of the map
    std::size_t chunk_count_ = 0;    // of all of them
    Lsn lsn_ = 0;
    Digest committed_digest_;
    std::vector<std::string> last_pruned_;
};

/// The refusal of a request for a stream that is not there.
Error stream_not_found(std::string_view id);

}  // namespace karma
