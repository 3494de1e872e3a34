/* Internal kernels of attention, in MindFormers' layout "TH": the tokens of all sequences one after the other, the heads
 * of a token side by side. Scores, softmax and sums are float32. */
#include <cmath>
#include <functional>
#include <stdexcept>

#include "internal_kernel.h"

namespace emulated {
namespace {

using namespace mindspore::internal;

constexpr int64_t kMaskTile = 128;

/* The rows of key or value of one sequence: where the head of a token begins. */
using Rows = std::function<const float *(int64_t token, int64_t head)>;

struct Heads {
  int64_t query, shared, width;  // numbers of heads of the query and of keys and values; of elements in a head
};

/* Attend with one token to the visible ones among `tokens`. */
void attend(const float *query, const Rows &keys, const Rows &values, int64_t tokens,
            const std::function<bool(int64_t)> &visible, float scale, const Heads &heads, float *out) {
  std::vector<float> weights(tokens);
  for (int64_t head = 0; head < heads.query; head++) {
    const int64_t shared = head / (heads.query / heads.shared);
    float largest = -INFINITY, total = 0;
    for (int64_t t = 0; t < tokens; t++) {
      weights[t] = -INFINITY;
      if (!visible(t)) continue;
      float score = 0;
      for (int64_t i = 0; i < heads.width; i++) score += query[head * heads.width + i] * keys(t, shared)[i];
      largest = std::max(largest, weights[t] = score * scale);
    }
    for (float &weight : weights) total += weight = std::exp(weight - largest);
    for (int64_t i = 0; i < heads.width; i++) {
      float sum = 0;
      for (int64_t t = 0; t < tokens; t++)
        if (visible(t)) sum += weights[t] * values(t, shared)[i];
      out[head * heads.width + i] = sum / total;
    }
  }
}

struct FlashAttentionScore : InternalKernelWith<FlashAttentionScoreParam> {
  using InternalKernelWith::InternalKernelWith;

  /* Inputs: query, key, value, none, and the mask, of which the tile on the diagonal is given: not 0 is invisible. */
  void compute(const Tensors &in, const Tensors &out) override {
    const Tensor &mask = in[4];
    if (param_.input_layout != FlashAttentionScoreParam::TH) throw std::runtime_error("a layout other than TH");
    if (in[3].data || mask.shape != Shape{kMaskTile, kMaskTile}) throw std::runtime_error("a mask other than causal");
    if (param_.q_seq_len != param_.kv_seq_len) throw std::runtime_error("queries and keys of different lengths");
    const std::vector<float> query = values(in[0]), key = values(in[1]), value = values(in[2]), tile = values(mask);
    const int64_t query_width = in[0].shape[1], width = query_width / param_.head_num, shared_width = in[1].shape[1];
    const Heads heads{param_.head_num, shared_width / width, width};
    std::vector<float> result(query.size());
    int64_t first = 0;
    for (const int32_t length : param_.q_seq_len) {
      const auto rows = [&](const std::vector<float> &all) {
        return [&, first](int64_t token, int64_t head) { return &all[(first + token) * shared_width + head * width]; };
      };
      for (int64_t token = 0; token < length; token++) {
        const auto visible = [&](int64_t other) {
          if (other / kMaskTile != token / kMaskTile) return other < token;
          return tile[token % kMaskTile * kMaskTile + other % kMaskTile] == 0;
        };
        attend(&query[(first + token) * query_width], rows(key), rows(value), length, visible, param_.tor, heads,
               &result[(first + token) * query_width]);
      }
      first += length;
    }
    if (first != in[0].shape[0]) throw std::runtime_error("the sequences have " + std::to_string(first) + " tokens");
    store(result, out[0]);
  }
};

struct PagedAttention : InternalKernelWith<PagedAttentionParam> {
  using InternalKernelWith::InternalKernelWith;

  /* Inputs: query, the caches, [blocks, block size, heads, head width], and the blocks of each sequence. */
  void compute(const Tensors &in, const Tensors &out) override {
    if (param_.mask_type != PagedAttentionParam::kMaskTypeNone) throw std::runtime_error("with a mask");
    if (param_.kv_cache_quant_mode || param_.mla_v_dim) throw std::runtime_error("a quantized or a latent cache");
    for (const int32_t length : param_.q_seq_len)
      if (length != 1) throw std::runtime_error("more than one token of a sequence");
    const std::vector<float> query = values(in[0]);
    const Tensor &tables = in[3];
    const int64_t width = in[0].shape[1] / param_.head_num;
    const Heads heads{param_.head_num, param_.kv_head_num, width};
    if (param_.kv_seq_len.size() != static_cast<size_t>(in[0].shape[0]))
      throw std::runtime_error("not one token of each sequence");
    std::vector<float> result(query.size());
    for (int64_t sequence = 0; sequence < in[0].shape[0]; sequence++) {
      const int64_t length = param_.kv_seq_len[sequence];
      const std::vector<float> key = gathered(in[1], tables, sequence, length);
      const std::vector<float> value = gathered(in[2], tables, sequence, length);
      const auto rows = [&](const std::vector<float> &all) {
        return [&](int64_t token, int64_t head) { return &all[(token * heads.shared + head) * width]; };
      };
      attend(
          &query[sequence * in[0].shape[1]], rows(key), rows(value), length, [](int64_t) { return true; }, param_.tor,
          heads, &result[sequence * in[0].shape[1]]);
    }
    store(result, out[0]);
  }

 private:
  /* The tokens of a sequence, out of its blocks. */
  static std::vector<float> gathered(const Tensor &cache, const Tensor &tables, int64_t sequence, int64_t length) {
    const int64_t block_size = cache.shape[1], row = cache.shape[2] * cache.shape[3];
    std::vector<float> found;
    for (int64_t token = 0; token < length; token++) {
      const auto block = static_cast<int64_t>(tables.get(sequence * tables.shape[1] + token / block_size));
      if (block < 0 || block >= cache.shape[0]) throw std::runtime_error("no block " + std::to_string(block));
      for (int64_t i = 0; i < row; i++)
        found.push_back(static_cast<float>(cache.get((block * block_size + token % block_size) * row + i)));
    }
    return found;
  }
};

struct ReshapeAndCache : InternalKernel {
  using InternalKernel::InternalKernel;

  /* Inputs: key, value, their caches, and the place of each token in them, negative for padding. */
  void compute(const Tensors &in, const Tensors &) override {
    const Tensor &slots = in[4];
    for (const int i : {0, 1}) {
      const Tensor &from = in[i], &cache = in[i + 2];
      const int64_t row = cache.shape[2] * cache.shape[3];
      for (int64_t token = 0; token < slots.size(); token++) {
        const auto slot = static_cast<int64_t>(slots.get(token));
        if (slot >= cache.shape[0] * cache.shape[1]) throw std::runtime_error("no slot " + std::to_string(slot));
        for (int64_t j = 0; slot >= 0 && j < row; j++) cache.set(slot * row + j, from.get(token * row + j));
      }
    }
  }
};

}  // namespace
}  // namespace emulated

FACTORY_WITH(CreateFlashAttentionScoreOp, FlashAttentionScoreParam, FlashAttentionScore)
FACTORY_WITH(CreatePagedAttentionOp, PagedAttentionParam, PagedAttention)
FACTORY(CreateReshapeAndCacheOp, ReshapeAndCache)
