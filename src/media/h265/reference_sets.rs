//! Steps over the parts of an H.265 SPS that stand before its VUI: scaling lists and short-term reference picture sets.
//!
//! Nothing in them matters to a recorder, but their length depends on their content.

use crate::media::bits::{BitReader, BitsError};

/// Most entries of one short-term reference picture set: sps_max_dec_pic_buffering of 16, both directions (H.265 §7.4.8).
const ENTRIES_MAX: u32 = 16;

/// scaling_list_data(), H.265 §7.3.4.
pub(super) fn skip_scaling_lists(bits: &mut BitReader<'_>) -> Result<(), BitsError> {
    for size in 0..4u32 {
        let matrices = if size == 3 { 2 } else { 6 };
        for _ in 0..matrices {
            if !bits.flag()? {
                bits.ue()?; // scaling_list_pred_matrix_id_delta
                continue;
            }
            if size > 1 {
                bits.se()?; // scaling_list_dc_coef_minus8
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                bits.se()?; // scaling_list_delta_coef
            }
        }
    }
    Ok(())
}

/// num_short_term_ref_pic_sets and the sets, H.265 §7.3.7 as called from the SPS.
pub(super) fn skip_short_term_sets(bits: &mut BitReader<'_>) -> Result<(), BitsError> {
    let mut entries_before = 0;
    for index in 0..bits.ue_at_most(64)? {
        let predicted = index > 0 && bits.flag()?;
        entries_before = if predicted {
            skip_predicted_set(bits, entries_before)?
        } else {
            skip_explicit_set(bits)?
        };
    }
    Ok(())
}

/// A set told by its difference from the set before; returns its number of entries.
fn skip_predicted_set(bits: &mut BitReader<'_>, entries_before: u32) -> Result<u32, BitsError> {
    bits.flag()?; // delta_rps_sign
    bits.ue()?; // abs_delta_rps_minus1
    let mut entries = 0;
    for _ in 0..=entries_before {
        let used_by_current = bits.flag()?;
        if used_by_current || bits.flag()? {
            entries += 1;
        }
    }
    Ok(entries.min(2 * ENTRIES_MAX))
}

fn skip_explicit_set(bits: &mut BitReader<'_>) -> Result<u32, BitsError> {
    let negative = bits.ue_at_most(ENTRIES_MAX)?;
    let positive = bits.ue_at_most(ENTRIES_MAX)?;
    for _ in 0..negative + positive {
        bits.ue()?; // delta_poc_minus1
        bits.flag()?; // used_by_curr_pic_flag
    }
    Ok(negative + positive)
}
