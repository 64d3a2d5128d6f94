#include "persist/snapshot_source.h"

#include "engine/error.h"

namespace karma {

class TreeFiles::Source final : public reply::ByteSource {
public:
    Source(const SnapshotStore& snapshots, SnapshotFile file, const Deadline& deadline)
        : snapshots_(snapshots),
          file_(std::move(file)),
          pages_(snapshots.pages(*file_.manifest, *file_.series)),
          layout_(pages_.size(), checked_reader(deadline)) {}

    bool is_of(const SnapshotFile& file) const noexcept {
        return file_.manifest == file.manifest && file_.series->number == file.series->number;
    }

    void read(std::uint64_t offset, std::size_t count, std::string& out) const override {
        const auto kept = snapshots_.keep_all();
        try {
            if (!snapshots_.holds(file_.manifest)) {
                throw CorruptionError("it is not kept any more");
            }
            layout_.read(offset, count, reader(), out);
        } catch (const CorruptionError& failure) {
            // Dropped meanwhile, or damaged: it cannot be had.
            throw RequestError(ErrorCode::not_found,
                               "Snapshot \"" + file_.name() + "\" cannot be read: " + failure.what());
        }
    }

private:
    /// Of all pages, once: what takes long of a large series.
    std::function<PageRef(std::size_t)> checked_reader(const Deadline& deadline) const {
        return [this, &deadline](std::size_t number) {
            deadline.check();
            return snapshots_.read_page(pages_[number]);
        };
    }
    std::function<PageRef(std::size_t)> reader() const {
        return [this](std::size_t number) { return snapshots_.read_page(pages_[number]); };
    }

    const SnapshotStore& snapshots_;
    SnapshotFile file_;
    std::vector<StoredPage> pages_;
    TreeLayout layout_;
};

std::shared_ptr<const reply::ByteSource> TreeFiles::open(const SnapshotFile& file, const Deadline& deadline) {
    if (!file.manifest->has_page_lists) {
        throw RequestError(
            ErrorCode::not_found,
            "Snapshot \"" + file.name() +
                "\" was stored by an earlier version, which gave out no files: make a new one");
    }
    {
        const std::lock_guard lock(mutex_);
        for (auto at = recent_.begin(); at != recent_.end(); ++at) {
            if ((*at)->is_of(file)) {
                recent_.splice(recent_.begin(), recent_, at);
                return recent_.front();
            }
        }
    }
    const auto kept = snapshots_.keep_all();
    auto source = std::make_shared<const Source>(snapshots_, file, deadline);
    const std::lock_guard lock(mutex_);
    recent_.push_front(source);
    if (recent_.size() > kept_max) {
        recent_.pop_back();
    }
    return source;
}

void TreeFiles::forget_all() {
    const std::lock_guard lock(mutex_);
    recent_.clear();
}

}  // namespace karma
