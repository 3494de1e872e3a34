#include "dtype.h"

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace emulated {
namespace {

float bits_to_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

uint32_t float_to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

double from_float16(uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  double value = exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24);
  if (exponent == 31) value = fraction ? NAN : INFINITY;
  return half & 0x8000 ? -value : value;
}

uint16_t to_float16(double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double size = std::fabs(value);
  if (std::isnan(value)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;  // 65504 is the largest, and half a step more is rounded up
  int exponent = size > 0 ? std::ilogb(size) : -14;
  if (exponent < -14) exponent = -14;
  /* 1024..2048 in steps of one, below 1024 for a subnormal; a carry to 2048 moves into the exponent by itself. */
  const long steps = std::lrint(std::ldexp(size, 10 - exponent));
  return sign | static_cast<uint16_t>((exponent + 14) * 1024 + steps);
}

uint16_t to_bfloat16(double value) {
  const uint32_t bits = float_to_bits(static_cast<float>(value));
  if (std::isnan(value)) return 0x7fc0;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

template <typename T>
double element(const void *data, int64_t index) {
  return static_cast<double>(static_cast<const T *>(data)[index]);
}

template <typename T>
void set(void *data, int64_t index, double value) {
  static_cast<T *>(data)[index] = static_cast<T>(value);
}

[[noreturn]] void unknown() { throw std::runtime_error("the emulated device was given a tensor of an unknown type"); }

}  // namespace

size_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::Bool:
    case Dtype::Int8:
    case Dtype::Uint8: return 1;
    case Dtype::Float16:
    case Dtype::BFloat16:
    case Dtype::Int16: return 2;
    case Dtype::Float32:
    case Dtype::Int32: return 4;
    case Dtype::Double:
    case Dtype::Int64: return 8;
    case Dtype::Unknown: break;
  }
  unknown();
}

bool is_integer(Dtype dtype) {
  return dtype != Dtype::Float16 && dtype != Dtype::BFloat16 && dtype != Dtype::Float32 && dtype != Dtype::Double;
}

double read(const void *data, int64_t index, Dtype dtype) {
  switch (dtype) {
    case Dtype::Float16: return from_float16(static_cast<const uint16_t *>(data)[index]);
    case Dtype::BFloat16: return bits_to_float(static_cast<uint32_t>(static_cast<const uint16_t *>(data)[index]) << 16);
    case Dtype::Float32: return element<float>(data, index);
    case Dtype::Double: return element<double>(data, index);
    case Dtype::Bool: return element<uint8_t>(data, index) != 0;
    case Dtype::Int8: return element<int8_t>(data, index);
    case Dtype::Int16: return element<int16_t>(data, index);
    case Dtype::Int32: return element<int32_t>(data, index);
    case Dtype::Int64: return element<int64_t>(data, index);
    case Dtype::Uint8: return element<uint8_t>(data, index);
    case Dtype::Unknown: break;
  }
  unknown();
}

void write(void *data, int64_t index, Dtype dtype, double value) {
  switch (dtype) {
    case Dtype::Float16: static_cast<uint16_t *>(data)[index] = to_float16(value); return;
    case Dtype::BFloat16: static_cast<uint16_t *>(data)[index] = to_bfloat16(value); return;
    case Dtype::Float32: return set<float>(data, index, value);
    case Dtype::Double: return set<double>(data, index, value);
    case Dtype::Bool: static_cast<uint8_t *>(data)[index] = value != 0; return;
    case Dtype::Int8: return set<int8_t>(data, index, value);
    case Dtype::Int16: return set<int16_t>(data, index, value);
    case Dtype::Int32: return set<int32_t>(data, index, value);
    case Dtype::Int64: return set<int64_t>(data, index, value);
    case Dtype::Uint8: return set<uint8_t>(data, index, value);
    case Dtype::Unknown: break;
  }
  unknown();
}

Dtype from_acl(int type) {
  switch (type) {
    case 0: return Dtype::Float32;
    case 1: return Dtype::Float16;
    case 2: return Dtype::Int8;
    case 3: return Dtype::Int32;
    case 4: return Dtype::Uint8;
    case 6: return Dtype::Int16;
    case 9: return Dtype::Int64;
    case 11: return Dtype::Double;
    case 12: return Dtype::Bool;
    case 27: return Dtype::BFloat16;
    default: return Dtype::Unknown;
  }
}

}  // namespace emulated
