#pragma once

#include <filesystem>

#include "engine/storage.h"

namespace karma {

/// Makes a copy of `storage` as a database in a directory that does not exist yet; durable when this returns.
/// The caller removes nothing from `storage` meanwhile. Throws StorageError.
void copy_to_directory(const Storage& storage, const std::filesystem::path& path);

}  // namespace karma
