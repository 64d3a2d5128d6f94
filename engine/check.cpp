#include "engine/check.h"

#include <algorithm>

#include "engine/preflight.h"
#include "engine/querier.h"

namespace karma {
namespace {

std::optional<Reply> refused(std::optional<Error> error) {
    return error ? std::optional<Reply>(std::move(*error)) : std::nullopt;
}

Reply refuse(ErrorCode code, std::string message) { return Error{code, std::move(message)}; }

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

}  // namespace

std::optional<Reply> FactChecker::operator()(const fact::Increment& f) const {
    return refused(check_increment(engine_.find_series(f.series), f.key, f.value));
}

std::optional<Reply> FactChecker::operator()(const fact::BatchAdd& f) const {
    return refused(check_batch_add(engine_.find_series(f.series), f.items));
}

std::optional<Reply> FactChecker::operator()(const fact::BatchSet& f) const {
    return refused(check_batch_set(engine_.find_series(f.series), f.items));
}

std::optional<Reply> FactChecker::operator()(const fact::MultiAdd& f) const {
    return refused(
        check_multi_add([this](std::string_view name) { return engine_.find_series(name); }, f.items));
}

std::optional<Reply> FactChecker::must_exist(std::string_view series) const {
    if (engine_.find_series(series) != nullptr) {
        return std::nullopt;
    }
    return series_not_found(series);
}

std::optional<Reply> FactChecker::operator()(const fact::AddChunk& f) const {
    const IngestStreams::Stream* const stream = engine_.streams().find(f.stream_id);
    if (stream == nullptr) {
        return stream_not_found(f.stream_id);
    }
    const StreamInfo& info = stream->info;
    if (info.has_chunk(f.chunk_seq, f.fingerprint)) {
        return reply::ChunkSkipped{info.id, f.chunk_seq, info.is_committed()};
    }
    if (info.is_committed()) {
        return refuse(ErrorCode::idempotency_conflict,
                      "Ingest stream was already committed with different chunks");
    }
    if (info.series && *info.series != f.series) {
        return refuse(ErrorCode::validation_error,
                      "Ingest stream is already bound to series " + quoted(*info.series));
    }
    if (f.chunk_seq <= info.last_chunk_seq()) {
        return refuse(ErrorCode::idempotency_conflict,
                      "Ingest chunk " + std::to_string(f.chunk_seq) + " was already used with other items");
    }
    if (f.chunk_seq != info.last_chunk_seq() + 1) {
        return refuse(ErrorCode::validation_error,
                      "Field chunk_seq must be the next chunk, " + std::to_string(info.last_chunk_seq() + 1));
    }
    return check_items(*stream, f);
}

std::optional<Reply> FactChecker::check_items(const IngestStreams::Stream& stream,
                                              const fact::AddChunk& f) const {
    switch (stream.info.mode) {
        case IngestMode::add: {
            const bool has_zero =
                std::ranges::any_of(f.items, [](const mutation::Item& item) { return item.value == 0; });
            if (has_zero) {
                return refuse(ErrorCode::validation_error, "Field items[][2] must be greater than 0");
            }
            return refused(check_batch_add(engine_.find_series(f.series), f.items));
        }
        case IngestMode::set: return refused(check_batch_set(engine_.find_series(f.series), f.items));
        case IngestMode::replace_series: return refused(check_batch_set(stream.staged.get(), f.items));
    }
    return std::nullopt;
}

}  // namespace karma
