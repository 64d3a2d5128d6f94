#pragma once

#include "engine/engine.h"

namespace karma {

/// Applies the fact of one event to the state of an engine and says what its request is answered with. Live
/// requests, restarts and followers all come through here.
class Applier {
public:
    Applier(Engine& engine, const Event& event) : engine_(engine), event_(event) {}
    Applier(const Applier&) = delete;
    Applier& operator=(const Applier&) = delete;
    ~Applier() { count_keys(); }

    Reply operator()(const fact::CreateSeries& m);
    Reply operator()(const fact::DropSeries& m);
    Reply operator()(const fact::Increment& m);
    Reply operator()(const fact::Decrement& m);
    Reply operator()(const fact::BatchAdd& m);
    Reply operator()(const fact::BatchSet& m);
    Reply operator()(const fact::MultiAdd& m);
    Reply operator()(const fact::ResetCounter& m);
    Reply operator()(const fact::ResetSeries& m);
    Reply operator()(const fact::BatchReset& m);
    Reply operator()(const fact::DeleteCounterRange& m);
    Reply operator()(const fact::DeleteSeriesRange& m);
    Reply operator()(const fact::BatchDeleteRange& m);
    Reply operator()(const fact::DeleteBefore& m);
    Reply operator()(const fact::CompactSeries& m);
    Reply operator()(const fact::CompactAll& m);
    Reply operator()(const fact::AddChunk& m);
    Reply operator()(const fact::CommitStream& m);
    Reply operator()(const fact::AbortStream& m);
    Reply operator()(const fact::PruneRecords& m);
    Reply operator()(const fact::LoadSeries& m);
    /// What a component applies.
    template <AppliedByComponent M>
    Reply operator()(const M& m) {
        return engine_.components_->applying<M>().apply(m, event_);
    }

private:
    /// The series, marked as touched by this event; null when it is not there or holds the event already.
    Series* touch(std::string_view name);
    Series* touch(Series* series);
    /// Counts the keys that the event has added to the touched series, or removed; none is touched then.
    void count_keys();
    /// Marks it, which does not hold the event.
    Series* mark(Series& series);
    /// The same, created when it is missing.
    Series* touch_or_create(std::string_view name);
    /// Puts what a stream has staged in its place.
    void install_staged(IngestStreams::Stream& stream);
    /// The open stream of an event of the log, which was there when it was accepted.
    IngestStreams::Stream& open_stream(std::string_view id);

    Engine& engine_;
    const Event& event_;
    Series* touched_ = nullptr;  // the series that the event changes, one after the other
    std::uint64_t keys_before_ = 0;
};

}  // namespace karma
