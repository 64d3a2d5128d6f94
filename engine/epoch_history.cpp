#include "engine/epoch_history.h"

#include <string>
#include <tuple>

#include "engine/component_codec.h"
#include "engine/event.h"
#include "engine/hash.h"

namespace karma {
namespace {

using EncodedEpoch = std::tuple<std::uint64_t, std::uint64_t, Lsn, NodeId>;

Digest digest_of(const Epoch& epoch) noexcept {
    const std::uint64_t number = mix64(epoch.number + 0x9e3779b97f4a7c15ULL);
    const std::uint64_t node = epoch.node == 0 ? 0 : mix64(epoch.node);
    return {mix64(number ^ epoch.id) + epoch.first_lsn + node,
            mix64(number + epoch.id) ^ mix64(epoch.first_lsn) ^ node};
}

}  // namespace

Digest EpochHistory::View::history_digest() const {
    Digest digest;
    for (const Epoch& epoch : epochs) {
        digest += digest_of(epoch);
    }
    return digest;
}

void EpochHistory::View::write(ContentsWriter& out) const {
    ContentsWriter::Packer& packer = out.next();
    packer.pack_array(static_cast<std::uint32_t>(epochs.size()));
    for (const Epoch& epoch : epochs) {
        packer.pack(EncodedEpoch(epoch.number, epoch.id, epoch.first_lsn, epoch.node));
    }
}

EpochHistory::View EpochHistory::View::read(ContentsReader& in) {
    View view;
    if (const msgpack::object* const value = in.next()) {
        // Before version 6 of the manifest epochs named no node.
        for (const auto& [number, id, first_lsn, node] : value->as<std::vector<EncodedEpoch>>()) {
            view.epochs.push_back({number, id, first_lsn, node});
        }
    }
    return view;
}

std::optional<Reply> EpochHistory::check(const fact::StartEpoch& m) const {
    if (m.number > last_epoch(epochs_).number) {
        return std::nullopt;
    }
    return Error{ErrorCode::replication_error, "Epoch " + std::to_string(m.number) + " has been before"};
}

Reply EpochHistory::apply(const fact::StartEpoch& m, const Event& event) {
    epochs_.push_back({m.number, m.id, event.lsn, m.node});
    return reply::Ok{};
}

ComponentViewRef EpochHistory::view() const {
    auto view = std::make_shared<View>();
    view->epochs = epochs_;
    return view;
}

void EpochHistory::restore(const ComponentView& view, const TakeSeries& /*take_series*/) {
    epochs_ = static_cast<const View&>(view).epochs;
}

}  // namespace karma
