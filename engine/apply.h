#pragma once

#include "engine/engine.h"

namespace karma {

/// Applies the facts of one event to the state of an engine and says what its request is answered with. Live
/// requests, restarts and followers all come through here.
class Applier {
public:
    Applier(Engine& engine, const Event& event) : engine_(engine), event_(event) {}
    Applier(const Applier&) = delete;
    Applier& operator=(const Applier&) = delete;
    ~Applier() { count_keys(); }

    Reply operator()(const mutation::CreateSeries& m);
    Reply operator()(const mutation::DropSeries& m);
    Reply operator()(const mutation::Increment& m);
    Reply operator()(const mutation::Decrement& m);
    Reply operator()(const mutation::BatchAdd& m);
    Reply operator()(const mutation::BatchSet& m);
    Reply operator()(const mutation::MultiAdd& m);
    Reply operator()(const mutation::ResetCounter& m);
    Reply operator()(const mutation::ResetSeries& m);
    Reply operator()(const mutation::BatchReset& m);
    Reply operator()(const mutation::DeleteCounterRange& m);
    Reply operator()(const mutation::DeleteSeriesRange& m);
    Reply operator()(const mutation::BatchDeleteRange& m);
    Reply operator()(const mutation::DeleteBefore& m);
    Reply operator()(const mutation::CompactSeries& m);
    Reply operator()(const mutation::CompactAll& m);
    Reply operator()(const mutation::AddChunk& m);
    Reply operator()(const mutation::CommitStream& m);
    Reply operator()(const mutation::AbortStream& m);
    Reply operator()(const mutation::PruneRecords& m);
    Reply operator()(const mutation::LoadSeries& m);
    /// What a component applies.
    template <AppliedByComponent M>
    Reply operator()(const M& m) {
        return engine_.components_->applying<M>().apply(m, event_);
    }

private:
    template <typename Body>
    Reply counted(const Body& m) const;
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
