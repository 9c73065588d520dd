"""Attributes of official layers as clean text, whatever types an export gave them."""

import numpy as np
import pandas as pd

# How the official exports write that there is nothing.
_NOTHING = ("", "NA")


def clean_text(values: pd.Series) -> pd.Series:
    """Return values as stripped text (objects, `str` or None), None where there is nothing.

    Whole floats lose their decimal point (``25056.0`` is the code 25056): an export that met a missing code
    stores the whole column as floats. Zeros that such a column lost are not put back: a contract finds them.
    """
    missing = values.isna().to_numpy()
    if pd.api.types.is_float_dtype(values.dtype):
        numbers = values.to_numpy(dtype="float64", na_value=np.nan)
        whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)
        text = values.astype(object)
        text[whole] = numbers[whole].astype("int64")
        text = text.astype("str")
    else:
        text = values.astype("str")
    text = text.str.strip()
    return text.astype(object).where(~(missing | text.isin(_NOTHING).to_numpy()), None)
