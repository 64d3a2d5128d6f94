#include "persist/page_store.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <unordered_map>

#include <msgpack.hpp>

#include "engine/checksum.h"
#include "engine/error.h"
#include "engine/msgpack_bytes.h"
#include "persist/keys.h"

namespace karma {
namespace {

constexpr const char* page_prefix = "g";
constexpr const char* list_prefix = "l";

/// From this size on pages go past the write-ahead log.
constexpr std::size_t bulk_bytes = 1U << 20U;

/// Pages of a series in one record of its list.
constexpr std::size_t list_pages_max = 16'384;

std::string page_key(std::uint64_t id) { return page_prefix + big_endian(id); }

std::string list_key(std::uint64_t snapshot_id) { return list_prefix + big_endian(snapshot_id); }

std::string list_key(std::uint64_t snapshot_id, std::size_t series) {
    std::string key = list_key(snapshot_id);
    append_big_endian(key, series, 4);
    return key;
}

std::string page_name(std::uint64_t id) { return "snapshot page " + std::to_string(id); }

using EncodedPage = std::tuple<std::uint64_t, std::uint32_t, std::uint64_t, std::vector<std::uint32_t>>;

std::string encode_list(std::span<const StoredPage> pages) {
    msgpack::sbuffer buffer;
    msgpack::packer<msgpack::sbuffer> packer(buffer);
    packer.pack_array(static_cast<std::uint32_t>(pages.size()));
    for (const StoredPage& page : pages) {
        packer.pack_array(4);
        packer.pack(page.id);
        packer.pack(page.bytes);
        packer.pack(page.tree.bytes);
        packer.pack(page.tree.keys);
    }
    return {buffer.data(), buffer.size()};
}

void decode_list(std::string_view bytes, const std::string& what, std::vector<StoredPage>& pages) {
    try {
        const msgpack::object_handle handle = unpack_stored(bytes);
        for (auto& [id, page_bytes, tree_bytes, keys] : handle.get().as<std::vector<EncodedPage>>()) {
            StoredPage page{id, page_bytes, {}};
            page.tree.bytes = tree_bytes;
            if (keys.size() != page.tree.keys.size()) {
                throw CorruptionError("a page has statistics of " + std::to_string(keys.size()) +
                                      " branches");
            }
            std::ranges::copy(keys, page.tree.keys.begin());
            pages.push_back(page);
        }
    } catch (const std::exception& failure) {
        throw CorruptionError(what + " is damaged: " + failure.what());
    }
}

}  // namespace

std::string sealed(std::string_view bytes) {
    const std::uint32_t sum = crc32_of(bytes);
    std::string value(sizeof sum, '\0');
    std::memcpy(value.data(), &sum, sizeof sum);
    value.append(bytes);
    return value;
}

std::string_view unsealed(std::string_view value, const std::string& what) {
    std::uint32_t sum = 0;
    if (value.size() < sizeof sum) {
        throw CorruptionError(what + " is too short");
    }
    std::memcpy(&sum, value.data(), sizeof sum);
    value.remove_prefix(sizeof sum);
    if (crc32_of(value) != sum) {
        throw CorruptionError(what + ": the checksum does not match");
    }
    return value;
}

PageStore::PageStore(RecordTables& tables) : tables_(tables) {
    if (const std::optional<std::string> last = tables_.last_key(Table::snapshots, page_prefix)) {
        next_id_ = from_big_endian(std::string_view(*last).substr(1)) + 1;
    }
}

void PageStore::erase_from(std::uint64_t page_id, std::uint64_t snapshot_id) {
    // Only where there is something: a removed range costs later what is written there.
    if (page_id < next_id_) {
        tables_.erase_range(Table::snapshots, page_key(page_id), page_key(next_id_));
        next_id_ = page_id;
    }
    const std::optional<std::string> last = tables_.last_key(Table::snapshots, list_prefix);
    if (const std::string begin = list_key(snapshot_id); last && *last >= begin) {
        tables_.erase_range(Table::snapshots, begin, prefix_end(list_prefix));
    }
}

std::vector<StoredPage> PageStore::list(std::uint64_t snapshot_id, std::size_t series) const {
    std::vector<StoredPage> pages;
    const std::string what =
        "page list of snapshot " + std::to_string(snapshot_id) + ", series number " + std::to_string(series);
    tables_.scan(Table::snapshots, list_key(snapshot_id, series),
                 [&](std::string_view, std::string_view value) {
                     decode_list(unsealed(value, what), what, pages);
                     return true;
                 });
    return pages;
}

void PageStore::forget_all() {
    const std::lock_guard lock(mutex_);
    next_id_ = 1;
    unreadable_.clear();
}

PageRef PageStore::read(const StoredPage& page) const {
    try {
        return read_stored(page);
    } catch (const std::exception&) {
        const std::lock_guard lock(mutex_);
        unreadable_.insert(page.id);
        throw;
    }
}

std::unordered_set<std::uint64_t> PageStore::unreadable() const {
    const std::lock_guard lock(mutex_);
    return unreadable_;
}

PageRef PageStore::read_stored(const StoredPage& page) const {
    const std::string what = page_name(page.id);
    const std::optional<std::string> value = tables_.read(Table::snapshots, page_key(page.id));
    if (!value) {
        throw CorruptionError(what + " is missing");
    }
    const std::string_view image = unsealed(*value, what);
    try {
        PageRef read = Page::from_image(image);
        read->set_stored_id(page.id);
        return read;
    } catch (const CorruptionError& failure) {
        throw CorruptionError(what + ": " + failure.what());
    }
}

void PageStore::add_erased_lists(std::uint64_t snapshot_id, std::vector<RecordChange>& changes) const {
    tables_.scan(Table::snapshots, list_key(snapshot_id), [&](std::string_view key, std::string_view) {
        changes.push_back({Table::snapshots, std::string(key), std::nullopt});
        return true;
    });
}

RecordChange PageStore::erased_page(std::uint64_t id) {
    return {Table::snapshots, page_key(id), std::nullopt};
}

std::vector<std::uint64_t> PageStore::all_ids() const {
    std::vector<std::uint64_t> ids;
    tables_.scan(Table::snapshots, page_prefix, [&](std::string_view key, std::string_view) {
        ids.push_back(from_big_endian(key.substr(1)));
        return true;
    });
    return ids;
}

// ---- writing

void PageWriter::start_bulk() {
    bulk_ = store_.tables_.bulk_writer(Table::snapshots);
    for (const RecordChange& record : records_) {
        bulk_->add(record.key, *record.value);
    }
    records_.clear();
}

void PageWriter::add_page(const Page& page, std::uint64_t id) {
    const std::string_view image = page.image();
    if (bytes_ < bulk_bytes && bytes_ + image.size() >= bulk_bytes) {
        start_bulk();
    }
    bytes_ += image.size();
    if (bulk_) {
        bulk_->add(page_key(id), sealed(image));
    } else {
        records_.push_back({Table::snapshots, page_key(id), sealed(image)});
    }
    fresh_.push_back({&page, id});
}

TreeStatistics PageWriter::write(const SeriesView& view, const std::vector<StoredPage>& known,
                                 const Deadline& deadline) {
    std::unordered_map<std::uint64_t, const StoredPage*> by_id;
    by_id.reserve(known.size());
    for (const StoredPage& page : known) {
        by_id.emplace(page.id, &page);
    }
    TreeStatistics sum;
    std::vector<StoredPage> pages;
    pages.reserve(view.pages().size());
    for (const PageRef& page : view.pages()) {
        deadline.check();
        // What cannot be read is not stored, whatever the page in memory says.
        const std::uint64_t id = unreadable_.contains(page->stored_id()) ? 0 : page->stored_id();
        if (const auto found = by_id.find(id); found != by_id.end()) {
            pages.push_back(*found->second);
        } else {
            const auto bytes = static_cast<std::uint32_t>(page->image().size());
            pages.push_back({id != 0 ? id : store_.next_id_++, bytes, tree_statistics(*page)});
            if (id == 0) {
                add_page(*page, pages.back().id);
            }
        }
        sum += pages.back().tree;
    }
    const std::string key = list_key(snapshot_id_, series_++);
    for (std::size_t first = 0; first < pages.size(); first += list_pages_max) {
        std::string part = key;
        append_big_endian(part, first / list_pages_max, 4);
        const std::size_t count = std::min(list_pages_max, pages.size() - first);
        lists_.push_back(
            {Table::snapshots, std::move(part), sealed(encode_list(std::span(pages).subspan(first, count)))});
    }
    return sum;
}

std::vector<RecordChange> PageWriter::finish() {
    if (bulk_) {
        bulk_->commit();
    }
    std::move(lists_.begin(), lists_.end(), std::back_inserter(records_));
    return std::move(records_);
}

void PageWriter::mark_stored() const {
    for (const FreshPage& fresh : fresh_) {
        fresh.page->set_stored_id(fresh.id);
    }
}

}  // namespace karma
