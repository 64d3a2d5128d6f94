#include "persist/state_transfer.h"

#include <msgpack.hpp>

#include "engine/error.h"
#include "engine/msgpack_bytes.h"
#include "engine/record_codec.h"
#include "persist/keys.h"
#include "persist/manifest_codec.h"
#include "persist/record_store.h"

namespace karma {
namespace {

constexpr std::uint32_t transfer_version = 2;
constexpr std::size_t piece_bytes = 256 * 1024;

/// What the first byte of a piece says that it holds.
enum class Piece : char { head = 'H', pages = 'P', records = 'I', stream = 'S', end = 'E' };

/// A piece that is being filled.
class PieceBuilder {
public:
    explicit PieceBuilder(Piece kind) : kind_(kind) { clear(); }

    void clear() { bytes_.assign(1, static_cast<char>(kind_)); }
    bool empty() const noexcept { return bytes_.size() == 1; }
    bool is_full() const noexcept { return bytes_.size() >= piece_bytes; }
    std::string& bytes() noexcept { return bytes_; }

private:
    Piece kind_;
    std::string bytes_;
};

[[noreturn]] void damaged(const std::string& what) {
    throw CorruptionError("a state that is being received: " + what);
}

/// Takes a number of `size` bytes off the front.
std::uint64_t take_number(std::string_view& bytes, std::size_t size) {
    if (bytes.size() < size) {
        damaged("a piece is cut short");
    }
    const std::uint64_t number = from_big_endian(bytes.substr(0, size));
    bytes.remove_prefix(size);
    return number;
}

std::string_view take_bytes(std::string_view& bytes, std::size_t size) {
    if (bytes.size() < size) {
        damaged("a piece is cut short");
    }
    const std::string_view taken = bytes.substr(0, size);
    bytes.remove_prefix(size);
    return taken;
}

}  // namespace

// ---- sending

StateSender::StateSender(StateView view, const StateTimes& times, HistoryMark mark, std::uint64_t hash_seed,
                         const RecordTables& tables, const DatabaseId& database_id, HistoryMarks marks,
                         std::shared_ptr<const void> kept)
    : view_(std::move(view)),
      times_(times),
      mark_(mark),
      hash_seed_(hash_seed),
      tables_(tables),
      database_id_(database_id),
      marks_(std::move(marks)),
      kept_(std::move(kept)) {}

void StateSender::read(const Take& take) {
    std::vector<SeriesView> views;
    const SnapshotManifest manifest = manifest_of(view_, times_.last_event_ms, views);
    msgpack::sbuffer head;
    head.write("H", 1);
    msgpack::packer packer(head);
    const std::string described = encode_manifest(manifest);
    packer.pack_array(9);
    packer.pack(transfer_version);
    packer.pack(hash_seed_);
    packer.pack(mark_.lsn);
    packer.pack(mark_.checksum);
    packer.pack_bin(static_cast<std::uint32_t>(described.size()));
    packer.pack_bin_body(described.data(), static_cast<std::uint32_t>(described.size()));
    packer.pack(database_id_.high);
    packer.pack(database_id_.low);
    const std::string marks = marks_.encoded();
    packer.pack_bin(static_cast<std::uint32_t>(marks.size()));
    packer.pack_bin_body(marks.data(), static_cast<std::uint32_t>(marks.size()));
    packer.pack(times_.age_ms);
    take({head.data(), head.size()});
    send_pages(views, take);
    send_records(take);
    take("E");
}

void StateSender::send_pages(const std::vector<SeriesView>& views, const Take& take) const {
    PieceBuilder piece(Piece::pages);
    for (std::size_t number = 0; number < views.size(); ++number) {
        for (const PageRef& page : views[number].pages()) {
            const std::string_view image = page->image();
            append_big_endian(piece.bytes(), number, 4);
            append_big_endian(piece.bytes(), image.size(), 4);
            piece.bytes() += image;
            if (piece.is_full()) {
                take(piece.bytes());
                piece.clear();
            }
        }
    }
    if (!piece.empty()) {
        take(piece.bytes());
    }
}

void StateSender::send_records(const Take& take) const {
    PieceBuilder piece(Piece::records);
    Lsn last_lsn = 0;
    const auto send = [&] {
        if (!piece.empty()) {
            append_big_endian(piece.bytes(), last_lsn);
            take(piece.bytes());
            piece.clear();
        }
    };
    // Also those that were forgotten since: an event that forgets some of the oldest is still to come.
    const Lsn first_lsn = view_.of<IdempotencyIndex>().first_record_lsn;
    read_idempotency_records(tables_, first_lsn, [&](std::span<const IdempotencyRecord> records) {
        for (const IdempotencyRecord& record : records) {
            if (record.lsn > view_.lsn) {
                return false;  // made again from the events that follow
            }
            append_record(record, piece.bytes());
            last_lsn = record.lsn;
        }
        if (piece.is_full()) {
            send();
        }
        return true;
    });
    send();
    read_committed_streams(tables_, view_.lsn,
                           [&](const StreamInfo& stream) { take("S" + encode_stream(stream)); });
    if (read_pruned_streams_lsn(tables_) > view_.lsn) {
        throw StorageError("committed ingest streams were pruned while the state was sent: begin again");
    }
}

// ---- receiving

void StateReceiver::add(std::string_view piece) {
    if (piece.empty() || is_whole_ || (piece[0] != 'H' && !manifest_)) {
        damaged("a piece that does not belong there");
    }
    const std::string_view bytes = piece.substr(1);
    switch (static_cast<Piece>(piece[0])) {
        case Piece::head: return add_head(bytes);
        case Piece::pages: return add_pages(bytes);
        case Piece::records: return add_records(bytes);
        case Piece::stream: return add_stream(bytes);
        case Piece::end: is_whole_ = true; return;
    }
    damaged("a piece of unknown kind");
}

void StateReceiver::add_head(std::string_view bytes) {
    if (manifest_) {
        damaged("a second head");
    }
    // Versions before send no age, and ignore one.
    using Head = std::tuple<std::uint32_t, std::uint64_t, Lsn, std::optional<std::uint32_t>,
                            std::vector<char>, std::uint64_t, std::uint64_t, std::vector<char>, std::int64_t>;
    Head head;
    try {
        unpack_stored(bytes).get().convert(head);
    } catch (const std::exception& failure) {
        damaged(std::string("its head cannot be read: ") + failure.what());
    }
    const auto& [version, seed, lsn, checksum, described, id_high, id_low, marks, age_ms] = head;
    if (version != transfer_version) {
        damaged("of version " + std::to_string(version) + ", this program knows version " +
                std::to_string(transfer_version));
    }
    mark_ = {lsn, checksum};
    database_id_ = {id_high, id_low};
    marks_ = HistoryMarks::decoded({marks.data(), marks.size()});
    age_ms_ = age_ms;
    manifest_ = decode_manifest(0, {described.data(), described.size()});
    state_ = std::make_unique<Engine>(seed, sink_, retention_);
}

void StateReceiver::add_pages(std::string_view bytes) {
    while (!bytes.empty()) {
        const std::uint64_t number = take_number(bytes, 4);
        const std::uint64_t size = take_number(bytes, 4);
        pages_[number].push_back(Page::from_image(take_bytes(bytes, size)));
    }
}

void StateReceiver::add_records(std::string_view bytes) {
    if (bytes.size() < 8) {
        damaged("a piece is cut short");
    }
    const Lsn last_lsn = from_big_endian(bytes.substr(bytes.size() - 8));
    bytes.remove_suffix(8);
    read_records(bytes, [&](const IdempotencyRecord& record) { state_->restore_record(record); });
    records_.push_back(records_change(last_lsn, std::string(bytes)));
}

void StateReceiver::add_stream(std::string_view bytes) {
    StreamInfo stream = decode_stream(bytes);
    if (!stream.is_committed() || stream.lsn > manifest_->lsn ||
        state_->streams().find(stream.id) != nullptr) {
        damaged("a stream that is not committed by then, or is there twice");
    }
    records_.push_back(committed_stream_change(stream));
    state_->restore_stream(std::move(stream), nullptr);
}

Series StateReceiver::take_series(const SnapshotSeries& entry) {
    return Series::from_pages(entry.name, std::move(pages_[entry.number]), entry.totals, entry.lsn);
}

std::filesystem::path StateReceiver::install(const Replacement& replacement) {
    if (!is_whole_) {
        damaged("its end is missing");
    }
    for (const SnapshotSeries& entry : manifest_->series) {
        state_->restore_series(take_series(entry));
    }
    std::vector<std::unique_ptr<Series>> staged;
    for (const SnapshotSeries& entry : manifest_->staged) {
        staged.push_back(std::make_unique<Series>(take_series(entry)));
    }
    try {
        state_->restore_components(manifest_->components, taken_from(staged));
    } catch (const CorruptionError& failure) {
        damaged(failure.what());
    }
    state_->restore_last_lsn(manifest_->lsn);
    if (manifest_->created_ms > 0) {
        state_->restore_last_event_ms(manifest_->created_ms);
    }
    ReceivedState received{*state_,           std::move(records_), mark_,  database_id_,
                           std::move(marks_), retention_,          age_ms_};
    return install_(received, replacement);
}

}  // namespace karma
