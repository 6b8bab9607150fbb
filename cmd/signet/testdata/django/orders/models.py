from django.db import models


class Order(models.Model):
    class Meta:
        permissions = [("ship_order", "Can ship order")]
