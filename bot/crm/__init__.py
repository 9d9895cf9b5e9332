"""The customer book (客户台账): who is who, who follows whom, and what happened."""
