#include "persist/snapshot_table.h"

#include <rocksdb/flush_block_policy.h>

namespace karma {
namespace {

/// Rows of this size begin a block, in which they are alone.
constexpr std::size_t large_row_bytes = 4096;

class LargeRowsApart final : public rocksdb::FlushBlockPolicy {
public:
    explicit LargeRowsApart(rocksdb::FlushBlockPolicy* by_size) : by_size_(by_size) {}

    bool Update(const rocksdb::Slice& key, const rocksdb::Slice& value) override {
        const bool is_full = by_size_->Update(key, value);
        const bool begins = is_full || (has_rows_ && value.size() >= large_row_bytes);
        has_rows_ = true;
        return begins;
    }

private:
    std::unique_ptr<rocksdb::FlushBlockPolicy> by_size_;
    bool has_rows_ = false;  // whether a block has been begun
};

class LargeRowsApartFactory final : public rocksdb::FlushBlockBySizePolicyFactory {
public:
    const char* Name() const override { return "karma.LargeRowsApart"; }

    rocksdb::FlushBlockPolicy* NewFlushBlockPolicy(const rocksdb::BlockBasedTableOptions& options,
                                                   const rocksdb::BlockBuilder& builder) const override {
        return new LargeRowsApart(FlushBlockBySizePolicyFactory::NewFlushBlockPolicy(options, builder));
    }
};

}  // namespace

std::shared_ptr<rocksdb::TableFactory> make_snapshot_table_factory() {
    rocksdb::BlockBasedTableOptions options;
    options.flush_block_policy_factory = std::make_shared<LargeRowsApartFactory>();
    // Blocks that begin behind what is looked for are not read.
    options.index_type = rocksdb::BlockBasedTableOptions::kBinarySearchWithFirstKey;
    return std::shared_ptr<rocksdb::TableFactory>(rocksdb::NewBlockBasedTableFactory(options));
}

}  // namespace karma
