#include "engine/checkpoints.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "engine/component_codec.h"
#include "engine/event.h"
#include "engine/hash.h"

namespace karma {
namespace {

using EncodedCheckpoint =
    std::tuple<std::string, std::optional<std::string>, std::optional<std::string>, std::int64_t>;

Digest digest_of(const reply::Checkpoint& checkpoint) noexcept {
    const std::uint64_t source = hash_text(checkpoint.source, 2);
    const std::uint64_t offset = checkpoint.offset ? hash_text(*checkpoint.offset, 3) : 0;
    const std::uint64_t event_id = checkpoint.event_id ? hash_text(*checkpoint.event_id, 4) : 0;
    const auto time = static_cast<std::uint64_t>(checkpoint.updated_at_unix);
    return {mix64(mix64(source + offset) ^ event_id) + mix64(time ^ source),
            mix64(mix64(source ^ offset) + event_id) ^ mix64(time + source)};
}

}  // namespace

Digest Checkpoints::View::digest(const Deadline& /*deadline*/) const {
    Digest digest;
    for (const reply::Checkpoint& checkpoint : checkpoints) {
        digest += digest_of(checkpoint);
    }
    return digest;
}

void Checkpoints::View::write(ContentsWriter& out) const {
    ContentsWriter::Packer& packer = out.next();
    packer.pack_array(static_cast<std::uint32_t>(checkpoints.size()));
    for (const reply::Checkpoint& checkpoint : checkpoints) {
        packer.pack_array(std::tuple_size_v<EncodedCheckpoint>);
        packer.pack(checkpoint.source);
        packer.pack(checkpoint.offset);
        packer.pack(checkpoint.event_id);
        packer.pack(checkpoint.updated_at_unix);
    }
}

Checkpoints::View Checkpoints::View::read(ContentsReader& in) {
    View view;
    if (const msgpack::object* const value = in.next()) {
        for (auto& [source, offset, event_id, updated] : value->as<std::vector<EncodedCheckpoint>>()) {
            view.checkpoints.push_back({std::move(source), std::move(offset), std::move(event_id), updated});
        }
    }
    return view;
}

std::optional<Reply> Checkpoints::check(const fact::SaveCheckpoint& m) const {
    if (by_source_.size() < sources_max || by_source_.contains(m.source)) {
        return std::nullopt;
    }
    return Error{ErrorCode::validation_error,
                 "Field source is new, and " + std::to_string(sources_max) + " sources are kept at most"};
}

Reply Checkpoints::apply(const fact::SaveCheckpoint& m, const Event& event) {
    const auto text = [](const std::optional<std::string_view>& view) {
        return view ? std::optional<std::string>(*view) : std::nullopt;
    };
    reply::Checkpoint checkpoint{std::string(m.source), text(m.offset), text(m.event_id),
                                 event.time_ms / 1000};
    by_source_.insert_or_assign(checkpoint.source, checkpoint);
    last_saved_unix_ = std::max(last_saved_unix_, checkpoint.updated_at_unix);
    lsn_ = event.lsn;
    return checkpoint;
}

const reply::Checkpoint* Checkpoints::find(std::string_view source) const noexcept {
    const auto found = by_source_.find(source);
    return found == by_source_.end() ? nullptr : &found->second;
}

std::vector<reply::Checkpoint> Checkpoints::all() const {
    std::vector<reply::Checkpoint> all;
    all.reserve(by_source_.size());
    for (const auto& entry : by_source_) {
        all.push_back(entry.second);
    }
    return all;
}

ComponentViewRef Checkpoints::view() const {
    auto view = std::make_shared<View>();
    view->checkpoints = all();
    return view;
}

void Checkpoints::restore(const ComponentView& view, const TakeSeries& /*take_series*/) {
    restore(static_cast<const View&>(view).checkpoints);
}

void Checkpoints::restore(std::vector<reply::Checkpoint> checkpoints) {
    for (reply::Checkpoint& checkpoint : checkpoints) {
        std::string source = checkpoint.source;
        last_saved_unix_ = std::max(last_saved_unix_, checkpoint.updated_at_unix);
        by_source_.insert_or_assign(std::move(source), std::move(checkpoint));
    }
}

}  // namespace karma
