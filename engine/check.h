#pragma once

#include <optional>

#include "engine/engine.h"
#include "engine/mutation_kinds.h"

namespace karma {

/// Whether a mutation becomes an event in the state that the engine is in. Gives the reply where it does not:
/// the refusal, or what a repeat of a part of a stream is told. Changes nothing.
class Checker {
public:
    explicit Checker(const Engine& engine) : engine_(engine) {}

    std::optional<Reply> operator()(const mutation::Increment& m) const;
    std::optional<Reply> operator()(const mutation::BatchAdd& m) const;
    std::optional<Reply> operator()(const mutation::BatchSet& m) const;
    std::optional<Reply> operator()(const mutation::MultiAdd& m) const;
    std::optional<Reply> operator()(const mutation::DropSeries& m) const { return must_exist(m.series); }
    std::optional<Reply> operator()(const mutation::BatchReset& m) const { return must_exist(m.series); }
    std::optional<Reply> operator()(const mutation::BatchDeleteRange& m) const {
        return must_exist(m.series);
    }
    std::optional<Reply> operator()(const mutation::DeleteBefore& m) const { return must_exist(m.series); }
    std::optional<Reply> operator()(const mutation::CompactSeries& m) const { return must_exist(m.series); }
    std::optional<Reply> operator()(const mutation::AddChunk& m) const;
    /// Nothing speaks against these, whatever the state is.
    template <OneOf<mutation::CreateSeries, mutation::Decrement, mutation::ResetCounter,
                    mutation::ResetSeries, mutation::DeleteCounterRange, mutation::DeleteSeriesRange,
                    mutation::CompactAll, mutation::PruneRecords>
                  M>
    std::optional<Reply> operator()(const M& /*m*/) const {
        return std::nullopt;
    }
    /// What a component decides about.
    template <CheckedByComponent M>
    std::optional<Reply> operator()(const M& m) const {
        return engine_.components_->checking<M>().check(m);
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
