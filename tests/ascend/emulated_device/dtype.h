/* The types that a tensor's elements have, and how one element is read and written.
 *
 * A value is a double on its way: every float16, bfloat16, float32 and every integer up to 2^53 is one exactly. What is
 * written in half precision is rounded to the nearest, ties to even, as the device does.
 */
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulated {

enum class Dtype { Unknown, Float16, BFloat16, Float32, Double, Bool, Int8, Int16, Int32, Int64, Uint8 };

size_t size_of(Dtype dtype);
bool is_integer(Dtype dtype);
double read(const void *data, int64_t index, Dtype dtype);
void write(void *data, int64_t index, Dtype dtype, double value);

/* CANN's numbers (aclDataType). */
Dtype from_acl(int type);

}  // namespace emulated
