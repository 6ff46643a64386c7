// attention: softmax(scale · q kᵀ + relative positions − distance penalty) · v, per head; params.h has the formula.
//
// q alone: the fused projection [B, Gh, Gw, 3·H·D]. With k and v: [B, …, H·D] each, where a batch of 1 on one side serves
// every item of the other; biases and windows need a grid, q, k and v [B, Gh, Gw, H·D]. pad [3·H·D], the dtype of q: what
// the projection makes of a pad token; its last two thirds are the key and value of tokens outside of border windows.
#include "../rule.h"

#include "call.h"

namespace ba_sam {
namespace {

void check_fused(const Rule& c) {
  const Shape& qkv = c.shape(AttentionOp::q);
  c.expect_rank(AttentionOp::q, 4);
  c.expect_nonempty(AttentionOp::q);
  c.require(qkv[3] % 3 == 0, "q with 3·H·D channels where there is no k, not " + shape_text(qkv));
}

void check_separate(const Rule& c, const AttentionOp& op) {
  for (const size_t i : {AttentionOp::q, AttentionOp::k, AttentionOp::v}) {
    c.require(is_float(c.dtype(i)), "q, k and v of dtype f32, bf16 or f16");
    c.require(c.dtype(i) == c.dtype(AttentionOp::q), "q, k and v of one dtype");
    c.require(c.shape(i).size() >= 3, "q, k and v of rank 3 or more");
  }
  const Shape &q = c.shape(AttentionOp::q), &k = c.shape(AttentionOp::k);
  c.require(k == c.shape(AttentionOp::v), "k and v of one shape");
  c.require((q[0] == k[0] || q[0] == 1 || k[0] == 1) && q.back() == k.back(),
            "q and k with the same channels and the same batch, or 1");
  c.expect_nonempty(AttentionOp::k);
  const bool biased = op.window > 0 || op.metric != DistanceMetric::none || c.has(AttentionOp::rel_pos_h);
  if (biased) c.require(q.size() == 4 && q == k, "q, k and v [B, Gh, Gw, H·D] with windows or biases");
}

}  // namespace

void check(const Rule& c, const AttentionOp& op) {
  c.expect_float(AttentionOp::q);
  c.require(c.has(AttentionOp::k) == c.has(AttentionOp::v), "both k and v or neither");
  if (is_fused(c)) {
    check_fused(c);
  } else {
    check_separate(c, op);
  }
  const int64_t channels = attention_channels(c), head_dim = c.head_dim(channels, op.heads);
  Shape expected = c.shape(AttentionOp::q);
  expected.back() = channels;
  if (!is_fused(c) && expected[0] == 1) expected[0] = c.shape(AttentionOp::k)[0];
  c.expect_out(expected);
  c.expect_out_dtype(c.dtype(AttentionOp::q));

  c.require(c.has(AttentionOp::rel_pos_h) == c.has(AttentionOp::rel_pos_w), "both relative position tables or none");
  const AttentionParams params = attention_params(c, op);
  const std::string problem = attention_problem(params);
  c.require(problem.empty(), problem);
  c.require((op.metric == DistanceMetric::none) == op.slopes.empty(), "slopes exactly when there is a metric");
  c.require(op.slopes.empty() || static_cast<int64_t>(op.slopes.size()) == op.heads, "one slope per head");
  const std::string slopes = slopes_problem(op.slopes.data(), op.slopes.size());
  c.require(slopes.empty(), slopes);
  if (params.has_rel_pos) {
    c.expect_dtype(AttentionOp::rel_pos_h, DType::f32);
    c.expect_dtype(AttentionOp::rel_pos_w, DType::f32);
    c.expect_shape(AttentionOp::rel_pos_h, {2 * (op.window ? op.window : params.grid_h) - 1, head_dim});
    c.expect_shape(AttentionOp::rel_pos_w, {2 * (op.window ? op.window : params.grid_w) - 1, head_dim});
  }
  if (c.has(AttentionOp::pad)) {
    c.expect_dtype(AttentionOp::pad, c.dtype(AttentionOp::q));
    c.expect_shape(AttentionOp::pad, {3 * channels});
  }
  if (c.has_out(AttentionOp::log_sum_exp)) {
    c.expect_out({params.batch, params.heads, params.q_tokens}, AttentionOp::log_sum_exp);
    c.expect_out_dtype(DType::f32, AttentionOp::log_sum_exp);
  }
}

double flops(const OpView& c, const AttentionOp& op) {
  const AttentionParams p = attention_params(c, op);
  const double keys = static_cast<double>(op.window > 0 ? op.window * op.window : p.k_tokens);
  return 4.0 * static_cast<double>(c.out().elements()) * keys;
}

}  // namespace ba_sam
