#pragma once

#include <optional>

#include "engine/engine.h"

namespace karma {

/// Whether a mutation becomes an event in the state that the engine is in. Gives the reply where it does not:
/// the refusal, or what a repeat of a part of a stream is told. Changes nothing.
class Checker {
public:
    explicit Checker(const Engine& engine) : engine_(engine) {}

    std::optional<Reply> operator()(const mutation::Increment& m) const;
    std::optional<Reply> operator()(const mutation::BatchAdd& m) const;
    std::optional<Reply> operator()(const mutation::BatchSet& m) const;
    std::optional<Reply> operator()(const mutation::DropSeries& m) const { return must_exist(m.series); }
    std::optional<Reply> operator()(const mutation::BatchReset& m) const { return must_exist(m.series); }
    std::optional<Reply> operator()(const mutation::BatchDeleteRange& m) const {
        return must_exist(m.series);
    }
    std::optional<Reply> operator()(const mutation::DeleteBefore& m) const { return must_exist(m.series); }
    std::optional<Reply> operator()(const mutation::CompactSeries& m) const { return must_exist(m.series); }
    std::optional<Reply> operator()(const mutation::SaveCheckpoint& m) const;
    std::optional<Reply> operator()(const mutation::BeginStream& m) const;
    std::optional<Reply> operator()(const mutation::AddChunk& m) const;
    std::optional<Reply> operator()(const mutation::CommitStream& m) const;
    std::optional<Reply> operator()(const mutation::AbortStream& m) const;
    std::optional<Reply> operator()(const mutation::LoadSeries& m) const;
    std::optional<Reply> operator()(const mutation::StartEpoch& m) const;
    std::optional<Reply> operator()(const mutation::PruneStreams& m) const;
    template <typename Other>
    std::optional<Reply> operator()(const Other&) const {
        return std::nullopt;
    }

private:
    std::optional<Reply> must_exist(std::string_view series) const;
    std::optional<Reply> check_items(const IngestStreams::Stream& stream, const mutation::AddChunk& m) const;

    const Engine& engine_;
};

/// Gives days to a mutation that left them to the clock.
void resolve_day(Mutation& body, std::int64_t now_ms) noexcept;

/// The response of a keyed request, once more.
Reply reply_again(const Mutation& body, const IdempotencyIndex::Record& first);

/// What the index keeps of a record.
IdempotencyIndex::Record index_record(const IdempotencyRecord& record, const KeyHash& key) noexcept;

}  // namespace karma
