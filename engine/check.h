#pragma once

#include <optional>

#include "engine/engine.h"
#include "engine/mutation_kinds.h"

namespace karma {

/// Whether a fact can follow from the state that the engine is in. Gives the reply where it cannot: the
/// refusal, or what a repeat of a part of a stream is told. Changes nothing.
///
/// The facts that commands come to (decide.h) and those of another node's log (Engine::replicate) are checked
/// here alike.
class FactChecker {
public:
    explicit FactChecker(const Engine& engine) : engine_(engine) {}

    std::optional<Reply> operator()(const fact::Increment& f) const;
    std::optional<Reply> operator()(const fact::BatchAdd& f) const;
    std::optional<Reply> operator()(const fact::BatchSet& f) const;
    std::optional<Reply> operator()(const fact::MultiAdd& f) const;
    std::optional<Reply> operator()(const fact::DropSeries& f) const { return must_exist(f.series); }
    std::optional<Reply> operator()(const fact::BatchReset& f) const { return must_exist(f.series); }
    std::optional<Reply> operator()(const fact::BatchDeleteRange& f) const { return must_exist(f.series); }
    std::optional<Reply> operator()(const fact::DeleteBefore& f) const { return must_exist(f.series); }
    std::optional<Reply> operator()(const fact::CompactSeries& f) const { return must_exist(f.series); }
    std::optional<Reply> operator()(const fact::AddChunk& f) const;
    /// Nothing speaks against these, whatever the state is.
    template <OneOf<fact::CreateSeries, fact::Decrement, fact::ResetCounter, fact::ResetSeries,
                    fact::DeleteCounterRange, fact::DeleteSeriesRange, fact::CompactAll, fact::PruneRecords,
                    fact::PruneStreams>
                  F>
    std::optional<Reply> operator()(const F& /*f*/) const {
        return std::nullopt;
    }
    /// What a component checks.
    template <CheckedByComponent F>
    std::optional<Reply> operator()(const F& f) const {
        return engine_.components_->checking<F>().check(f);
    }

private:
    std::optional<Reply> must_exist(std::string_view series) const;
    std::optional<Reply> check_items(const IngestStreams::Stream& stream, const fact::AddChunk& f) const;

    const Engine& engine_;
};

}  // namespace karma
