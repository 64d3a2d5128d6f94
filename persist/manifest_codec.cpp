#include "persist/manifest_codec.h"

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <tuple>
#include <type_traits>
#include <vector>

#include <msgpack.hpp>

#include "engine/component_codec.h"
#include "engine/error.h"
#include "engine/msgpack_bytes.h"

namespace karma {
namespace {

// Version 1 ended after the checkpoints, version 2 before the page id, version 3 before the epochs, version 4
// after them, version 5 before the database id; epochs name their node since version 6. Version 7 is written
// where there are components that version 6 has no place for.
constexpr std::uint32_t manifest_version = 7;

/// The elements of a manifest of each version.
constexpr std::size_t elements_of[] = {0, 6, 10, 11, 12, 13, 14, 15};

// Where the elements are that are of no component.
constexpr std::size_t full_element = 1;
constexpr std::size_t lsn_element = 2;
constexpr std::size_t created_element = 3;
constexpr std::size_t series_element = 4;
constexpr std::size_t file_unix_element = 6;
constexpr std::size_t next_page_element = 10;
constexpr std::size_t database_id_element = 13;
constexpr std::size_t components_element = 14;

/// Where the values of a component are that is older than version 7: the others are in an element together.
struct OldPlaces {
    std::string_view component;
    std::vector<std::size_t> elements;
};

const std::vector<OldPlaces>& old_places() {
    static const std::vector<OldPlaces> places = {{Checkpoints::name, {5}},
                                                  {IngestStreams::name, {7, 9}},
                                                  {IdempotencyIndex::name, {8, 12}},
                                                  {EpochHistory::name, {11}}};
    return places;
}

/// Null for a component that has none.
const OldPlaces* old_places_of(std::string_view component) {
    const auto found = std::ranges::find(old_places(), component, &OldPlaces::component);
    return found == old_places().end() ? nullptr : &*found;
}

using Packer = msgpack::packer<msgpack::sbuffer>;

void pack_series(Packer& packer, const SnapshotSeries& entry) {
    packer.pack_array(9);
    packer.pack(entry.name);
    packer.pack(entry.lsn);
    packer.pack(entry.totals.keys);
    packer.pack(entry.totals.buckets);
    packer.pack(static_cast<std::uint64_t>(entry.totals.total >> 64U));
    packer.pack(static_cast<std::uint64_t>(entry.totals.total));
    packer.pack(entry.pages);
    packer.pack(entry.bytes);
    packer.pack(entry.tree_bytes);
}

template <typename Entries, typename Pack>
void pack_all(Packer& packer, const Entries& entries, Pack&& pack) {
    packer.pack_array(static_cast<std::uint32_t>(entries.size()));
    for (const auto& entry : entries) {
        pack(packer, entry);
    }
}

using EncodedSeries = std::tuple<std::string, Lsn, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                                 std::uint64_t, std::uint64_t, std::uint64_t>;
using EncodedDatabaseId = std::tuple<std::uint64_t, std::uint64_t>;
using EncodedComponent = std::tuple<std::string, std::vector<std::string>>;

SnapshotSeries to_series(EncodedSeries& encoded) {
    auto& [name, lsn, keys, buckets, high, low, pages, bytes, tree_bytes] = encoded;
    return {std::move(name), lsn, {keys, buckets, (Uint128{high} << 64U) | low}, pages, bytes, tree_bytes, 0};
}

/// The values of one component, each encoded by itself.
class ValuesWriter final : public ContentsWriter {
public:
    /// Describes the component's series by the entries from `staged` on, which moves behind them.
    explicit ValuesWriter(std::vector<SnapshotSeries>::const_iterator& staged) : staged_(staged) {}

    Packer& next() override {
        values_.push_back(std::make_unique<Value>());
        return values_.back()->packer;
    }
    void pack_series() override { karma::pack_series(values_.back()->packer, *staged_++); }

    std::size_t size() const noexcept { return values_.size(); }
    std::string_view operator[](std::size_t i) const noexcept {
        return {values_[i]->buffer.data(), values_[i]->buffer.size()};
    }

private:
    struct Value {
        msgpack::sbuffer buffer;
        Packer packer{buffer};
    };

    std::vector<std::unique_ptr<Value>> values_;
    std::vector<SnapshotSeries>::const_iterator& staged_;
};

class ValuesReader final : public ContentsReader {
public:
    ValuesReader(std::span<const std::string_view> values, std::vector<SnapshotSeries>& staged)
        : values_(values), staged_(staged) {}

    const msgpack::object* next() override {
        if (values_.empty()) {
            return nullptr;
        }
        value_ = unpack_stored(values_.front());
        values_ = values_.subspan(1);
        return &value_.get();
    }
    void read_series(const msgpack::object& described) override {
        EncodedSeries encoded = described.as<EncodedSeries>();
        staged_.push_back(to_series(encoded));
    }

private:
    std::span<const std::string_view> values_;
    std::vector<SnapshotSeries>& staged_;
    msgpack::object_handle value_;
};

/// A manifest while it is written: what is known of its elements.
class ManifestEncoder {
public:
    explicit ManifestEncoder(const SnapshotManifest& manifest) : manifest_(manifest) {
        auto staged = manifest.staged.begin();
        for (const ComponentKind& kind : component_kinds()) {
            const ComponentView* const view = manifest.components.find(kind.name);
            const ComponentViewRef empty = view == nullptr ? kind.empty() : nullptr;
            ValuesWriter values(staged);
            (view == nullptr ? *empty : *view).write(values);
            place(kind.name, values);
        }
    }

    std::string encoded() {
        const std::size_t version = others_.empty() ? manifest_version - 1 : manifest_version;
        put(0, version);
        put(full_element, manifest_.full);
        put(lsn_element, manifest_.lsn);
        put(created_element, manifest_.created_ms);
        put(series_element, [this](Packer& packer) { pack_all(packer, manifest_.series, pack_series); });
        put(file_unix_element, manifest_.file_unix);
        put(next_page_element, manifest_.next_page_id);
        put(database_id_element, EncodedDatabaseId(manifest_.database_id.high, manifest_.database_id.low));
        put(components_element, [this](Packer& packer) { pack_all(packer, others_, pack_component); });
        msgpack::sbuffer buffer;
        Packer(buffer).pack_array(static_cast<std::uint32_t>(elements_of[version]));
        for (std::size_t i = 0; i < elements_of[version]; ++i) {
            buffer.write(elements_[i].data(), elements_[i].size());
        }
        return {buffer.data(), buffer.size()};
    }

private:
    static void pack_component(Packer& packer, const EncodedComponent& component) {
        packer.pack_array(std::tuple_size_v<EncodedComponent>);
        packer.pack(std::get<0>(component));
        pack_all(packer, std::get<1>(component), [](Packer& to, const std::string& value) {
            to.pack_bin(static_cast<std::uint32_t>(value.size()));
            to.pack_bin_body(value.data(), static_cast<std::uint32_t>(value.size()));
        });
    }

    void place(std::string_view component, const ValuesWriter& values) {
        const OldPlaces* const old = old_places_of(component);
        if (old == nullptr && values.size() != 0) {
            others_.emplace_back(component, std::vector<std::string>());
        }
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (old == nullptr) {
                std::get<1>(others_.back()).emplace_back(values[i]);
            } else {
                elements_[old->elements.at(i)] = values[i];
            }
        }
    }

    template <typename Value>
    void put(std::size_t element, const Value& value) {
        msgpack::sbuffer buffer;
        Packer packer(buffer);
        if constexpr (std::is_invocable_v<const Value&, Packer&>) {
            value(packer);
        } else {
            packer.pack(value);
        }
        elements_[element].assign(buffer.data(), buffer.size());
    }

    const SnapshotManifest& manifest_;
    std::array<std::string, elements_of[manifest_version]> elements_;  // each encoded by itself
    std::vector<EncodedComponent> others_;
};

/// The elements of an array, each encoded by itself.
std::vector<std::string_view> elements_in(std::string_view bytes) {
    constexpr unsigned array_of_up_to_15 = 0x90;
    const unsigned first = bytes.empty() ? 0 : static_cast<unsigned char>(bytes[0]);
    if ((first & 0xF0U) != array_of_up_to_15 || first == array_of_up_to_15) {
        throw CorruptionError("not of a form that this program knows");
    }
    std::vector<std::string_view> elements;
    std::size_t at = 1;
    for (unsigned left = first & 0x0FU; left != 0; --left) {
        const std::size_t begin = at;
        unpack_stored(bytes, at);
        elements.push_back(bytes.substr(begin, at - begin));
    }
    return elements;
}

/// Reads a manifest from its elements. What an earlier version has not keeps its default.
class ManifestDecoder {
public:
    explicit ManifestDecoder(std::string_view bytes) : elements_(elements_in(bytes)) {
        version_ = element<std::uint32_t>(0, 0);
        if (version_ == 0 || version_ > manifest_version) {
            throw CorruptionError("of version " + std::to_string(version_) +
                                  ", this program reads versions up to " + std::to_string(manifest_version));
        }
        if (elements_.size() != elements_of[version_]) {
            throw CorruptionError("of " + std::to_string(elements_.size()) + " elements instead of " +
                                  std::to_string(elements_of[version_]));
        }
    }

    SnapshotManifest decoded() {
        manifest_.full = element(full_element, false);
        manifest_.lsn = element<Lsn>(lsn_element, 0);
        manifest_.created_ms = element<std::int64_t>(created_element, 0);
        manifest_.file_unix = element<std::int64_t>(file_unix_element, manifest_.created_ms / 1000);
        for (EncodedSeries& entry : element<std::vector<EncodedSeries>>(series_element, {})) {
            manifest_.series.push_back(to_series(entry));
        }
        manifest_.has_page_lists = version_ >= 3;
        manifest_.next_page_id = std::max<std::uint64_t>(element<std::uint64_t>(next_page_element, 1), 1);
        const auto id = element<EncodedDatabaseId>(database_id_element, {});
        manifest_.database_id = {std::get<0>(id), std::get<1>(id)};
        read_components();
        std::size_t number = 0;
        for (SnapshotSeries& entry : manifest_.series) {
            entry.number = number++;
        }
        for (SnapshotSeries& entry : manifest_.staged) {
            entry.number = number++;
        }
        return std::move(manifest_);
    }

private:
    template <typename Value>
    Value element(std::size_t number, Value otherwise) const {
        return number < elements_.size() ? unpack_stored(elements_[number]).get().as<Value>()
                                         : std::move(otherwise);
    }

    /// In the order of their kinds, which is that of their series.
    void read_components() {
        const auto others = element<std::vector<EncodedComponent>>(components_element, {});
        for (const EncodedComponent& other : others) {
            if (find_component_kind(std::get<0>(other)) == nullptr ||
                old_places_of(std::get<0>(other)) != nullptr) {
                throw CorruptionError("it holds \"" + std::get<0>(other) +
                                      "\", which this program does not know");
            }
        }
        for (const ComponentKind& kind : component_kinds()) {
            std::vector<std::string_view> values;
            if (const OldPlaces* const old = old_places_of(kind.name)) {
                for (const std::size_t place : old->elements) {
                    if (place < elements_.size()) {
                        values.push_back(elements_[place]);
                    }
                }
            }
            for (const EncodedComponent& other : others) {
                if (std::get<0>(other) == kind.name) {
                    values.assign(std::get<1>(other).begin(), std::get<1>(other).end());
                }
            }
            ValuesReader reader(values, manifest_.staged);
            manifest_.components.set(kind.name, kind.read(reader));
        }
    }

    std::vector<std::string_view> elements_;
    std::uint32_t version_ = 0;
    SnapshotManifest manifest_;
};

}  // namespace

std::string encode_manifest(const SnapshotManifest& manifest) { return ManifestEncoder(manifest).encoded(); }

SnapshotManifest decode_manifest(std::uint64_t id, std::string_view bytes) {
    try {
        SnapshotManifest manifest = ManifestDecoder(bytes).decoded();
        manifest.id = id;
        return manifest;
    } catch (const std::exception& failure) {
        throw CorruptionError("snapshot manifest " + std::to_string(id) + " is damaged: " + failure.what());
    }
}

}  // namespace karma
